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
	if !s.sessions.Load() {
		return
	}
	level := logrus.InfoLevel
	if r.Upload == 0 && (r.Cause == relay.ClientClosed || r.Cause == relay.ClientReset) {
		level = logrus.DebugLevel
	}
	if !s.log.IsLevelEnabled(level) {
		return
	}
	entry := s.log.WithFields(logrus.Fields{
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
	})
	if r.Err != nil {
		entry = entry.WithError(r.Err)
	}
	entry.Log(level, "session ended: "+string(r.Cause))
}

func (s *Server) connectFailed(r *relay.Route, t *target.Target, err error, died bool) {
	entry := s.log.WithFields(logrus.Fields{"app": r.App, "target": t.Name}).WithError(err)
	if died {
		entry.WithFields(logrus.Fields{
			logging.EventKey: logging.TargetDead,
			"retry_in":       t.Retry().Round(time.Millisecond).String(),
		}).Warn("target is dead")
		return
	}
	s.sparing.Log(entry, logrus.DebugLevel, "connect "+r.App+" "+t.Name, "connecting to target failed again")
}

func (s *Server) targetBack(r *relay.Route, t *target.Target) {
	entry := s.log.WithFields(logrus.Fields{logging.EventKey: logging.TargetBack, "app": r.App, "target": t.Name})
	entry.Info("target is alive again")
}

func (s *Server) acceptFailing(p *relay.Port, err error) {
	entry := s.log.WithFields(logrus.Fields{"app": p.Route.Load().App, "port": p.Name}).WithError(err)
	s.sparing.Log(entry, logrus.ErrorLevel, "accept "+p.Name, "accepting fails and is tried again")
}

func (s *Server) acceptResumed(p *relay.Port, after time.Duration) {
	entry := s.log.WithFields(logrus.Fields{"app": p.Route.Load().App, "port": p.Name, "after": after.String()})
	s.sparing.Log(entry, logrus.InfoLevel, "accept again "+p.Name, "accepting works again")
}

func (s *Server) poolFull(max int) {
	entry := s.log.WithFields(logrus.Fields{logging.EventKey: logging.PoolFull, "workers": max})
	s.sparing.Log(entry, logrus.WarnLevel, "pool full", "all workers are busy: new connections wait until one is free")
}

func (s *Server) poolFree(after time.Duration) {
	entry := s.log.WithField("after", after.Round(time.Millisecond).String())
	s.sparing.Log(entry, logrus.InfoLevel, "pool free", "workers are free again")
}
