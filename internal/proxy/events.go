package proxy

import (
	"strings"
	"time"

	"tcp-proxy/internal/logging"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/upstream"
)

// Limits of log entries that can repeat without end. For an object that changes its state, the burst is large enough
// to show that it flaps; after that, the log has the last state of every interval.
var (
	failedSessions = logging.Kind{Name: "session", Burst: 20, Every: time.Second, Total: 500, Keys: 4096}
	refusals       = logging.Kind{Name: "refused", Burst: 1, Every: repeatInterval, Total: 50, Keys: 1024}
	shortageBegins = logging.Kind{Name: "shortage", Burst: 1, Every: repeatInterval, Total: 50, Keys: 1024}
	shortageEnds   = logging.Kind{Name: "shortage_end", Burst: 2, Every: repeatInterval, Total: 50, Keys: 1024}
	failures       = logging.Kind{Name: "connect", Burst: 1, Every: repeatInterval, Total: 50, Keys: 1024}
	targetState    = logging.Kind{Name: "target", Burst: 4, Every: repeatInterval, Total: 200, Keys: 1 << 14}
	nameState      = logging.Kind{Name: "name", Burst: 4, Every: repeatInterval, Total: 50, Keys: 4096}
	demotions      = logging.Kind{Name: "demoted", Burst: 1, Every: repeatInterval, Total: 50, Keys: 1024}
	portState      = logging.Kind{Name: "port", Burst: 2, Every: repeatInterval, Total: 50, Keys: 4096}
	poolState      = logging.Kind{Name: "pool", Burst: 2, Every: repeatInterval, Total: 10, Keys: 1}
)

// repeatInterval is the time between log entries about the same problem.
const repeatInterval = 10 * time.Second

// events returns the functions by which the engine reports to the server.
func (s *Server) events() relay.Events {
	return relay.Events{
		Own:           &s.own,
		Ended:         s.ended,
		LoopDetected:  s.loopDetected,
		ConnectFailed: s.connectFailed,
		Connected:     s.connected,
		TargetBack:    s.targetBack,
		Demoted:       s.demoted,
		AcceptFailing: s.acceptFailing,
		AcceptResumed: s.acceptResumed,
		Short:         s.short,
		Works:         s.works,
	}
}

// ended logs the record of a session. The level is debug if the client never sent a byte (a port scan, a health
// check) or was refused by the gate. Sessions that end badly are limited by failedSessions, for each app and cause; at level
// debug all are logged.
func (s *Server) ended(r *relay.Record) {
	level := logging.Info
	switch {
	case r.Refused != "":
		level = logging.Debug
		s.refused(r)
	case r.Upload == 0 && (r.Cause == relay.ClientClosed || r.Cause == relay.ClientReset):
		level = logging.Debug
	}
	if !s.log.Enabled(level) || !s.wantsRecord(r) {
		return
	}
	text := "session ended: " + string(r.Cause)
	if endedWell(r) || s.log.Enabled(logging.Debug) {
		s.log.Record(level, text, recordFields(r))
		return
	}
	s.log.ThrottledRecord(failedSessions, r.App+" "+string(r.Cause), level, text, recordFields(r))
}

// recordFields returns the fields of the record of a session.
func recordFields(r *relay.Record) logging.Fields {
	fields := logging.Fields{
		"session":       r.ID,
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
	if strings.HasPrefix(r.Port, "systemd:") { // the other names are addresses
		fields["port_address"] = r.Address
	}
	if r.Peer != "" {
		fields["peer"] = r.Peer
	}
	if r.Refused != "" {
		fields["refused"] = string(r.Refused)
	}
	if r.Err != nil {
		fields[logging.ErrorKey] = r.Err
	}
	return fields
}

// endedWell reports whether a side closed the session without an error.
func endedWell(r *relay.Record) bool {
	return r.Err == nil && (r.Cause == relay.ClientClosed || r.Cause == relay.TargetClosed)
}

// wantsRecord reports whether the session gets a record in the log. Sessions that ended well are sampled: see
// log.sessions.
func (s *Server) wantsRecord(r *relay.Record) bool {
	n := s.recordOneIn.Load()
	if n > 1 && endedWell(r) {
		return s.endedWellCount.Add(1)%uint64(n) == 0
	}
	return n > 0
}

// refused reports clients that the gate of an app refuses.
func (s *Server) refused(r *relay.Record) {
	const text = "clients are refused"
	key := r.App + " " + string(r.Refused)
	s.log.Throttled(refusals, key, logging.Warn, text, logging.Fields{
		logging.EventKey: logging.Refusals, "app": r.App, "port": r.Port, "client": r.Client, "refused": string(r.Refused),
	})
	s.history.note(Event{Kind: EventRefusals, App: r.App, Port: r.Port, Text: text + ", such as " + r.Client, Reason: string(r.Refused)})
}

func (s *Server) connectFailed(r *relay.Route, t *upstream.Target, err error, died bool) {
	if died {
		s.prober.CheckNow(t)
		s.targetDead(r.App, t, err)
		return
	}
	if upstream.ReasonOf(err) == upstream.Local {
		s.fails(shortageKey{relay.LackConnect, r.App}, t.Name, err)
		return
	}
	s.log.Throttled(failures, r.App+" "+t.Name, logging.Debug, "connect to target failed again",
		logging.Fields{"app": r.App, "target": t.Name, logging.ErrorKey: err})
}

func (s *Server) targetDead(app string, t *upstream.Target, err error) {
	fields := logging.Fields{logging.EventKey: logging.TargetDead, "app": app, "target": t.Name, logging.ErrorKey: err}
	if retry := t.Retry(); retry > 0 {
		fields["retry_in"] = retry.Round(time.Millisecond).String()
	}
	s.log.Throttled(targetState, app+" "+t.Name, logging.Warn, "target is dead", fields)
	s.history.note(Event{Kind: EventTargetDead, App: app, Target: t.Name, Text: "target is dead", Reason: err.Error()})
}

func (s *Server) targetBack(r *relay.Route, t *upstream.Target) {
	s.targetAlive(r.App, t, "a connection succeeded")
}

func (s *Server) demoted(r *relay.Route, t *upstream.Target) {
	s.log.Throttled(demotions, r.App+" "+t.Name, logging.Info, "address lost three connection races and is now tried after the other addresses of its name", logging.Fields{
		"app": r.App, "target": t.Name, "for": t.DemotedFor().Round(time.Second).String(),
	})
}

func (s *Server) targetAlive(app string, t *upstream.Target, why string) {
	text := "target is alive again"
	if t.Untested() {
		text = "target is untested, and takes sessions again"
	}
	s.log.Throttled(targetState, app+" "+t.Name, logging.Info, text,
		logging.Fields{logging.EventKey: logging.TargetBack, "app": app, "target": t.Name})
	s.history.note(Event{Kind: EventTargetBack, App: app, Target: t.Name, Text: text, Reason: why})
}

func (s *Server) acceptFailing(p *relay.Port, err error) {
	const text = "accept failed; retrying with back-off"
	s.failing.Store(p, err.Error())
	s.acceptPauses.Add(1)
	app := p.Route.Load().App
	fields := portFields(p)
	fields[logging.ErrorKey] = err
	s.log.Throttled(portState, p.String(), logging.Error, text, fields)
	s.history.note(Event{Kind: EventAcceptFailing, App: app, Port: p.Name(), Text: text + onSocket(p), Reason: err.Error()})
}

func (s *Server) acceptResumed(p *relay.Port, after time.Duration) {
	const text = "accepting connections again"
	s.failing.Delete(p)
	app := p.Route.Load().App
	fields := portFields(p)
	fields["after"] = after.String()
	s.log.Throttled(portState, p.String(), logging.Info, text, fields)
	s.history.note(Event{Kind: EventAcceptResumed, App: app, Port: p.Name(), Text: text + onSocket(p)})
}

// portFields names a port in a log entry.
func portFields(p *relay.Port) logging.Fields {
	fields := logging.Fields{"app": p.Route.Load().App, "port": p.Name()}
	if p.Inherited {
		fields["port_address"] = p.Address()
	}
	return fields
}

// onSocket tells the sockets of one port of systemd apart.
func onSocket(p *relay.Port) string {
	if !p.Inherited {
		return ""
	}
	return " (the socket of systemd on " + p.Address() + ")"
}

func (s *Server) poolFull(max int) {
	const text = "all workers are busy: new connections wait until one is free"
	s.log.Throttled(poolState, "", logging.Warn, text, logging.Fields{logging.EventKey: logging.PoolFull, "workers": max})
	s.history.note(Event{Kind: EventPoolFull, Text: text})
}

func (s *Server) poolFree(after time.Duration) {
	const text = "workers are free again"
	s.log.Throttled(poolState, "", logging.Info, text, logging.Fields{"after": after.Round(time.Millisecond).String()})
	s.history.note(Event{Kind: EventPoolFree, Text: text})
}
