package session

import (
	"errors"
	"time"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/relay"
)

// Leave gives back the session's slots, on its target and at the gate. Its sockets to targets are closed. It comes before
// the client's is: a client that sees the end may connect again at once, and must not be refused because of itself. It may
// be called more than once.
func (s *Session) Leave(now int64) {
	if s.left {
		return
	}
	s.left = true
	s.endWait()
	if s.state.Phase == Relaying {
		s.attempts[0].target.Release()
		s.forget(Target)
	} else {
		s.state.connected = now
		for side := Target; side <= Racing; side++ {
			if s.Target(side) != nil {
				s.lose(side, false)
			}
		}
	}
	if s.admitted {
		s.route.Gate.Leave(s.client)
	}
}

// AddBytes counts bytes of a session that is Relaying, or was: for the app, on a shard of its meter, and for the target. Engines
// count for themselves while bytes move, and call it when a sample is taken and when the session ends.
func (s *Session) AddBytes(shard int, up, down int64) {
	if up == 0 && down == 0 {
		return
	}
	if m := s.route.Meter; m != nil {
		m.Uploaded(shard, up)
		m.Downloaded(shard, down)
	}
	s.attempts[0].target.Moved(up, down)
}

// Account leaves and reports the session, all sockets of which are closed. The engine has filled in the port, the peer as
// Client, and the bytes; the rest is filled in here. What is left of s and its state is memory for the next Begin.
func (s *Session) Account(r *relay.Record, now int64) {
	s.Leave(now)
	st := s.state
	r.ID = s.id
	r.Route, r.App, r.Attempts, r.Refused = s.route, s.route.App, s.tried.Len(), s.refused
	r.Connect, r.Duration = time.Duration(st.connected-st.begun), time.Duration(now-st.begun)
	r.Cause, r.Err = s.cause, s.why
	if s.header != nil {
		r.Peer, r.Client = r.Client, s.header.Source.String()
	}
	connect := time.Duration(0)
	if to := s.attempts[0].target; to != nil {
		if s.droppedEarly(r) {
			to.ClosedEarly()
		}
		r.Target, connect = to.Name, r.Connect
	} else if last := s.tried.Last(); last != nil {
		r.Target = last.Name
	}
	if m := s.route.Meter; m != nil {
		m.Ended(string(r.Cause), connect, r.Duration)
	}
	if r.Cause == relay.Internal && !errors.Is(r.Err, s.err) && linux.Exhausted(r.Err) { // failed connects were reported
		s.events.Short(relay.LackSession, s.route, r.Err)
	}
	s.events.Ended(r)
	s.tried.Reset()
	*s = Session{tried: s.tried, origin: s.origin}
	*st = State{}
}

// droppedEarly reports whether the target, which was connected, has ended the session early: closed or reset it within
// Early, without a byte for the client, who had not finished.
func (s *Session) droppedEarly(r *relay.Record) bool {
	reset := s.state.first == 0 && r.Cause == relay.TargetReset && r.Duration-r.Connect <= Early
	return r.Download == 0 && (reset || s.state.early)
}
