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
		TriedSecond:   s.triedSecond,
		AcceptFailing: s.acceptFailing,
		AcceptResumed: s.acceptResumed,
	}
}

// ended logs the record of a session. One in which the client never sent a byte (a port scan, a health check) is for
// those who look for it, as is one that was refused at the door, of which there may be any number: those are told of
// sparingly.
func (s *Server) ended(r *relay.Record) {
	level := logrus.InfoLevel
	switch {
	case r.Refused != "":
		level = logrus.DebugLevel
		s.refused(r)
	case r.Upload == 0 && (r.Cause == relay.ClientClosed || r.Cause == relay.ClientReset):
		level = logrus.DebugLevel
	}
	if !s.diary.Enabled(level) || !s.records(r) {
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

// records reports whether the session is one that has a record in the log. Of those that end well it may be a sample.
func (s *Server) records(r *relay.Record) bool {
	n := s.oneIn.Load()
	if n > 1 && r.Err == nil && (r.Cause == relay.ClientClosed || r.Cause == relay.TargetClosed) {
		return s.endings.Add(1)%uint64(n) == 0
	}
	return n > 0
}

// refused tells of clients that an app's gate keeps out.
func (s *Server) refused(r *relay.Record) {
	const text = "clients are refused"
	if s.diary.Sparingly("refused "+r.App+" "+string(r.Refused), logrus.WarnLevel, text, logrus.Fields{
		logging.EventKey: logging.Refusals, "app": r.App, "port": r.Port, "client": r.Client, "refused": string(r.Refused),
	}) {
		s.history.note(Event{Kind: EventRefusals, App: r.App, Port: r.Port, Text: text + ", such as " + r.Client, Reason: string(r.Refused)})
	}
}

func (s *Server) connectFailed(r *relay.Route, t *target.Target, err error, died bool) {
	if died {
		s.prober.Wake(t)
		s.targetDead(r.App, t, err)
		return
	}
	s.diary.Sparingly("connect "+r.App+" "+t.Name, logrus.DebugLevel, "connecting to target failed again",
		logrus.Fields{"app": r.App, "target": t.Name, logrus.ErrorKey: err})
}

func (s *Server) targetDead(app string, t *target.Target, err error) {
	fields := logrus.Fields{logging.EventKey: logging.TargetDead, "app": app, "target": t.Name, logrus.ErrorKey: err}
	if retry := t.Retry(); retry > 0 {
		fields["retry_in"] = retry.Round(time.Millisecond).String()
	}
	s.diary.Log(logrus.WarnLevel, "target is dead", fields)
	s.history.note(Event{Kind: EventTargetDead, App: app, Target: t.Name, Text: "target is dead", Reason: err.Error()})
}

func (s *Server) targetBack(r *relay.Route, t *target.Target) {
	s.targetAlive(r.App, t, "a connection stands")
}

func (s *Server) triedSecond(r *relay.Route, t *target.Target) {
	s.diary.Log(logrus.InfoLevel, "address of a name does not answer in time and is tried after the others of that name", logrus.Fields{
		"app": r.App, "target": t.Name, "for": t.Second().Round(time.Second).String(),
	})
}

func (s *Server) targetAlive(app string, t *target.Target, why string) {
	const text = "target is alive again"
	s.diary.Log(logrus.InfoLevel, text, logrus.Fields{logging.EventKey: logging.TargetBack, "app": app, "target": t.Name})
	s.history.note(Event{Kind: EventTargetBack, App: app, Target: t.Name, Text: text, Reason: why})
}

func (s *Server) acceptFailing(p *relay.Port, err error) {
	const text = "accepting fails and is tried again"
	s.failing.Store(p, err.Error())
	s.pauses.Add(1)
	app := p.Route.Load().App
	if s.diary.Sparingly("accept "+p.Name, logrus.ErrorLevel, text, logrus.Fields{"app": app, "port": p.Name, logrus.ErrorKey: err}) {
		s.history.note(Event{Kind: EventAcceptFailing, App: app, Port: p.Name, Text: text, Reason: err.Error()})
	}
}

func (s *Server) acceptResumed(p *relay.Port, after time.Duration) {
	const text = "accepting works again"
	s.failing.Delete(p)
	app := p.Route.Load().App
	if s.diary.Sparingly("accept again "+p.Name, logrus.InfoLevel, text, logrus.Fields{"app": app, "port": p.Name, "after": after.String()}) {
		s.history.note(Event{Kind: EventAcceptResumed, App: app, Port: p.Name, Text: text})
	}
}

func (s *Server) poolFull(max int) {
	const text = "all workers are busy: new connections wait until one is free"
	if s.diary.Sparingly("pool full", logrus.WarnLevel, text, logrus.Fields{logging.EventKey: logging.PoolFull, "workers": max}) {
		s.history.note(Event{Kind: EventPoolFull, Text: text})
	}
}

func (s *Server) poolFree(after time.Duration) {
	const text = "workers are free again"
	if s.diary.Sparingly("pool free", logrus.InfoLevel, text, logrus.Fields{"after": after.Round(time.Millisecond).String()}) {
		s.history.note(Event{Kind: EventPoolFree, Text: text})
	}
}
