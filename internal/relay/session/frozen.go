package session

import (
	"net/netip"

	"tcp-proxy/internal/proxyproto"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/upstream"
)

// Frozen is a session between two engines: all that Session and State know of it, as values. Freeze makes it, and Adopt makes
// a session of it. Times are on the clock of the engine, which is the same for both engines.
type Frozen struct {
	ID    uint64
	Route *relay.Route // the policy that the session keeps, though its app may be gone from the configuration

	// Phase is one of Header, Recounting, Choosing and Relaying: a session that was Waiting or Connecting is Choosing, and
	// picks its target anew.
	Phase Phase

	First    uint8 // 1 + the side that finished first; 0: none has
	Finished uint8 // the sides that have finished, and all bytes of which were passed on; a bit each
	Broken   uint8 // the sides that have broken while there may be bytes left to relay, a bit each
	Early    bool  // the target finished first, and within Early of its connect

	Begun     int64 // accepted
	Connected int64 // the target's connection was established; 0: it was not
	Moved     int64 // a byte was last relayed, or a side finished
	ResetAt   int64 // when a broken side ends the session; 0: none is broken
	Until     int64 // when the header or the slot that it waits for is given up; Never; 0: it waits for neither

	Client   netip.Addr         // as admission knows it: without a zone; not valid on a unix socket
	Header   *proxyproto.Header // what the client's PROXY header names; nil: nothing
	Admitted bool               // the gate of the route has counted it

	Target     *upstream.Target // it is connected to; nil: none
	Attempts   upstream.Kept    // Target among them; without those whose connect is given up
	Err        error            // of the last attempt that failed
	LocalFault bool             // every failure so far was this machine's

	FromHere bool     // its client is on this machine
	Apps     []string // the apps that it has come through then, its own last
}

// Freeze takes the session out of its engine, which has closed the sockets of attempts that were under way: they are given up,
// and count neither for nor against their targets. It gives back the slots of the session, at the gate, on its target and in
// the queue. The session is not reported, and its app's meter goes on counting it as open. What is left of s and its state is
// memory for the next Begin. The session has not ended.
func (s *Session) Freeze() Frozen {
	s.endWait()
	st := s.state
	f := Frozen{
		ID: s.id, Route: s.route, Phase: st.Phase,
		First: st.first, Finished: st.finished, Broken: st.broken, Early: st.early,
		Begun: st.begun, Connected: st.connected, Moved: st.moved, ResetAt: st.resetAt,
		Client: s.client, Header: s.header, Admitted: s.admitted, Err: s.err, LocalFault: s.localFault,
	}
	if s.fromHere {
		f.FromHere, f.Apps = true, s.events.Own.Through(s.origin)
	}
	switch st.Phase {
	case Relaying:
		f.Target = s.Target(Target)
		f.Target.Release()
		s.forget(Target)
		f.Attempts = s.tried.Keep()
	case Header:
		f.Until = st.until
	case Choosing, Waiting, Connecting:
		f.Phase, f.Until = Choosing, s.waitUntil
		if st.Phase == Waiting {
			f.Until = st.until
		}
		f.Attempts = s.tried.Keep(s.giveUp()...)
	}
	if s.admitted {
		s.route.Gate.Leave(s.client)
	}
	s.tried.Reset()
	*s = Session{tried: s.tried, origin: s.origin}
	*st = State{}
	return f
}

// giveUp gives up the attempts that are under way, and returns their targets.
func (s *Session) giveUp() (targets []*upstream.Target) {
	for side := Target; side <= Racing; side++ {
		if t := s.Target(side); t != nil {
			targets = append(targets, t)
			s.lose(side, false)
		}
	}
	return targets
}

// Reenter takes the slots again that Freeze has given back, at the gate and on the target, whatever their limits are. An engine
// calls it for all sessions before it calls Adopt for any: one that waits for a slot must not get that of another. The meter of
// the route is to have counted the session as open (meter.App.Begun).
func (f *Frozen) Reenter() {
	if f.Admitted {
		f.Route.Gate.Reenter(f.Client)
	}
	if f.Target != nil {
		f.Target.Reenter()
	}
}

// Adopt makes s the session that was frozen, instead of Begin; Reenter was called. Account must follow, or Freeze. The engine
// goes on by the phase: it reads the client's header, or does Recount, Connect or Relay. Of a session with FromHere that is
// connected it reports OnDialled again.
func (s *Session) Adopt(state *State, f *Frozen, events *relay.Events) {
	*s = Session{
		state: state, id: f.ID, route: f.Route, events: events, tried: s.tried, origin: s.origin,
		client: f.Client, header: f.Header, admitted: f.Admitted, err: f.Err, localFault: f.LocalFault,
	}
	*state = State{
		Phase: f.Phase, first: f.First, finished: f.Finished, broken: f.Broken, early: f.Early,
		begun: f.Begun, connected: f.Connected, moved: f.Moved, resetAt: f.ResetAt, until: Never, raceAt: Never,
	}
	s.attempts[0].target = f.Target
	s.route.Targets.Continue(&s.tried, f.Attempts)
	switch {
	case f.Phase == Header:
		state.until = f.Until
	case f.Phase == Choosing:
		s.waitUntil = f.Until
	}
	if f.FromHere && events.Own != nil {
		if s.origin == nil {
			s.origin = &relay.Origin{}
		}
		s.fromHere = true
		events.Own.Reaccept(s.origin, f.Apps)
	}
}
