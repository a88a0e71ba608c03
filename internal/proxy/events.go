package proxy

import (
	"time"

	"github.com/sirupsen/logrus"

	"tcp-proxy/internal/logging"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/target"
)

// events is what the engine tells the server.
func (s *Server) events() relay.Events {
	return relay.Events{
		Ended:         s.ended,
		ConnectFailed: s.connectFailed,
		TargetBack:    s.targetBack,
		AcceptFailing: s.acceptFailing,
		AcceptResumed: s.acceptResumed,
	}
}

// ended logs the record of a session. One in which the client never sent a byte (a port scan, a health check) is for
// those who look for it.
func (s *Server) ended(r *relay.Record) {
	level := logrus.InfoLevel
	if r.Upload == 0 && (r.Cause == relay.ClientClosed || r.Cause == relay.ClientReset) {
		level = logrus.DebugLevel
	}
	if !s.sessions.Load() || !s.diary.Enabled(level) {
		return
	}
	fields := logrus.Fields{
		"app":           r.App,
		"port":          r.Port,
		"client":        r.Client,
		"target":        r.Target,
		"attempts":      r.Attempts,
		"connect_usec":  r.Connect.Microseconds(),
		"duration_usec": r.Duration.Microseconds(),
		"bytes_up":      r.Upload,
		"bytes_down":    r.Download,
		"cause":         string(r.Cause),
	}
	if r.Peer != "" {
		fields["peer"] = r.Peer
	}
	if r.Refused != "" {
		fields["refused"] = string(r.Refused)
	}
	if r.Err != nil {
		fields[logrus.ErrorKey] = r.Err
	}
	s.diary.Log(level, "session ended: "+string(r.Cause), fields)
}

func (s *Server) connectFailed(r *relay.Route, t *target.Target, err error, died bool) {
	if died {
		s.targetDead(r.App, t, err)
		return
	}
	s.diary.Sparingly("connect "+r.App+" "+t.Name, logrus.DebugLevel, "connecting to target failed again",
		logrus.Fields{"app": r.App, "target": t.Name, logrus.ErrorKey: err})
}

func (s *Server) targetDead(app string, t *target.Target, err error) {
	s.diary.Log(logrus.WarnLevel, "target is dead", logrus.Fields{
		logging.EventKey: logging.TargetDead,
		"app":            app,
		"target":         t.Name,
		"retry_in":       t.Retry().Round(time.Millisecond).String(),
		logrus.ErrorKey:  err,
	})
}

func (s *Server) targetBack(r *relay.Route, t *target.Target) {
	s.diary.Log(logrus.InfoLevel, "target is alive again",
		logrus.Fields{logging.EventKey: logging.TargetBack, "app": r.App, "target": t.Name})
}

func (s *Server) acceptFailing(p *relay.Port, err error) {
	s.diary.Sparingly("accept "+p.Name, logrus.ErrorLevel, "accepting fails and is tried again",
		logrus.Fields{"app": p.Route.Load().App, "port": p.Name, logrus.ErrorKey: err})
}

func (s *Server) acceptResumed(p *relay.Port, after time.Duration) {
	s.diary.Sparingly("accept again "+p.Name, logrus.InfoLevel, "accepting works again",
		logrus.Fields{"app": p.Route.Load().App, "port": p.Name, "after": after.String()})
}

func (s *Server) poolFull(max int) {
	s.diary.Sparingly("pool full", logrus.WarnLevel, "all workers are busy: new connections wait until one is free",
		logrus.Fields{logging.EventKey: logging.PoolFull, "workers": max})
}

func (s *Server) poolFree(after time.Duration) {
	s.diary.Sparingly("pool free", logrus.InfoLevel, "workers are free again",
		logrus.Fields{"after": after.Round(time.Millisecond).String()})
}
