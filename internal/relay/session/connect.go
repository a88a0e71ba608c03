package session

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/upstream"
)

// RaceAfter is how long an attempt is alone before another address of the same name is tried as well: the Connection
// Attempt Delay of Happy Eyeballs (RFC 8305, section 5).
const RaceAfter = 250 * time.Millisecond

// Pick returns the next target to connect to, which begins the attempt of Target; its time-out runs from now. Without a
// target the action is Abort, or AwaitSlot if all that are left are full or the names of all are still being looked up for
// the first time. A session may try thousands of targets: an engine that serves others too lets them have their turn in
// between.
func (s *Session) Pick(now int64) (*upstream.Target, Action) {
	if s.Ended() {
		return nil, Abort
	}
	s.state.Phase = Choosing
	s.state.until, s.state.raceAt = Never, Never
	if s.exhausted() {
		return nil, s.noneLeft()
	}
	t, halfOpen, err := s.route.Targets.Pick(&s.tried, s.client)
	switch {
	case err == nil:
		s.attempts[0] = attempt{t, now, halfOpen}
		s.waitUntil = 0
		s.state.Phase = Connecting
		s.state.until = s.attemptUntil(now)
		if mayRace(t) {
			s.state.raceAt = now + int64(RaceAfter)
		}
		return t, Connect
	case errors.Is(err, upstream.ErrFull), errors.Is(err, upstream.ErrUnresolved):
		s.unresolved = errors.Is(err, upstream.ErrUnresolved)
		return nil, AwaitSlot
	case s.tried.Len() > 0:
		return nil, s.noneLeft()
	}
	return nil, s.End(relay.NoTarget, err)
}

// exhausted reports whether the session has tried as many targets as it may.
func (s *Session) exhausted() bool {
	limit := s.route.ConnectAttempts
	return limit > 0 && s.tried.Len() >= limit
}

func (s *Session) noneLeft() Action {
	if s.localFault {
		return s.End(relay.Internal, s.err)
	}
	return s.End(relay.ConnectFailed, s.err)
}

// attemptUntil is when an attempt that began at a moment is given up.
func (s *Session) attemptUntil(began int64) int64 {
	if limit := s.route.ConnectTimeout; limit > 0 {
		return began + int64(limit)
	}
	return Never
}

// mayRace reports whether a target is one of several addresses of a name.
func mayRace(t *upstream.Target) bool { return t.Path == "" && strings.IndexByte(t.Name, '/') >= 0 }

// Await waits for a slot on a target, for as long as one attempt may take. granted is called once there is one, from any
// goroutine, maybe before Await returns; it must not block. OnGranted then takes it. Meanwhile only OnGranted, Due, OnDue,
// OnBroken, End and Leave may be called.
func (s *Session) Await(now int64, granted func()) {
	s.state.Phase = Waiting
	s.state.until = s.attemptUntil(now)
	if s.waitUntil != 0 {
		s.state.until, s.waitUntil = s.waitUntil, 0
	}
	s.waiter = s.route.Targets.Await(&s.tried, s.client, granted)
}

// OnGranted reports that granted was called. The action is Connect, unless the session is beyond that already.
func (s *Session) OnGranted() Action {
	switch {
	case s.Ended():
		return Abort
	case s.state.Phase == Choosing: // the time-out came at the same moment, and found the slot granted
		return Connect
	case s.state.Phase != Waiting || !s.waiter.Granted():
		return Wait
	}
	s.state.Phase, s.state.until = Choosing, Never
	return Connect
}

// giveUpWaiting ends a wait that took too long.
func (s *Session) giveUpWaiting() Action {
	if s.waiter.Granted() { // granted is on its way to the engine
		return s.OnGranted()
	}
	s.endWait()
	cause, lack := relay.Limited, upstream.ErrFull
	if s.unresolved {
		cause, lack = relay.NoTarget, upstream.ErrUnresolved
	}
	return s.End(cause, fmt.Errorf("for %v, %w", s.route.ConnectTimeout, lack))
}

func (s *Session) endWait() {
	if s.waiter != nil {
		s.waiter.Cancel()
		s.waiter = nil
	}
}

// Race returns another address of the name of Target, of the other family if there is one, and begins the racing attempt to
// it. It is called when DueRace is due. nil: there is none to race.
func (s *Session) Race(now int64) *upstream.Target {
	s.state.raceAt = Never
	if s.exhausted() {
		return nil
	}
	t, halfOpen := s.route.Targets.Race(s.attempts[0].target, &s.tried)
	if t == nil {
		return nil
	}
	s.attempts[1] = attempt{t, now, halfOpen}
	return t
}

// MayRace reports whether the attempt of Target may get another to race against.
func (s *Session) MayRace() bool { return s.state.raceAt != Never }

// RaceIsOn reports whether there are two attempts.
func (s *Session) RaceIsOn() bool { return s.attempts[0].target != nil && s.attempts[1].target != nil }

// OnDialled reports the local address of an attempt, so that the connection is recognised should it come back to this
// proxy. It is needed only if FromHere.
func (s *Session) OnDialled(side int, local netip.AddrPort) {
	t := s.Target(side)
	if !s.fromHere || !local.IsValid() || !t.Addr.IsValid() {
		return
	}
	remote := netip.AddrPortFrom(withoutZone(t.Addr.Addr()), t.Addr.Port())
	s.events.Own.Dialled(s.origin, side-Target, relay.Dialled{Local: local, Remote: remote, Route: s.route, Target: t})
}

// FromHere reports whether the client is on this machine.
func (s *Session) FromHere() bool { return s.fromHere }

// OnConnectFailed reports the error of an attempt, whose socket is closed. The target is marked dead unless the fault is
// this machine's. If the other attempt of a race goes on it is that of Target from now on (Promote); else the next target
// is picked (Connect).
func (s *Session) OnConnectFailed(side int, err error, now int64) Action {
	a := s.drop(side)
	s.err = fmt.Errorf("connect to %s: %w", a.target.Name, err)
	s.localFault = s.localFault && upstream.ReasonOf(err) == upstream.Local
	died := a.target.Failed(a.halfOpen, err)
	a.target.Release()
	s.events.ConnectFailed(s.route, a.target, err, died)
	action := Wait
	switch {
	case s.Ended():
		return Abort
	case side == Racing:
	case s.attempts[1].target == nil:
		s.state.Phase, s.state.until, s.state.raceAt = Choosing, Never, Never
		return Connect
	default:
		s.promote()
		action = Promote
	}
	s.state.raceAt = now + int64(RaceAfter)
	return action
}

// promote makes the racing attempt that of Target.
func (s *Session) promote() {
	s.attempts[0], s.attempts[1] = s.attempts[1], attempt{}
	s.state.until = s.attemptUntil(s.attempts[0].begun)
	if s.fromHere {
		s.events.Own.Move(s.origin, Racing-Target, 0)
	}
}

// drop forgets an attempt.
func (s *Session) drop(side int) attempt {
	n := side - Target
	a := s.attempts[n]
	s.attempts[n] = attempt{}
	s.forget(side)
	return a
}

// forget forgets where an attempt came from.
func (s *Session) forget(side int) {
	if s.fromHere {
		s.events.Own.Forget(s.origin, side-Target)
	}
}

// NoAnswer is the error of an attempt that has had no answer in time.
func (s *Session) NoAnswer() error { return upstream.NoAnswer(s.route.ConnectTimeout) }

// OnConnected reports that the connection of an attempt is established. In a race the engine has closed the other's socket
// before; silent says that it had no answer yet. If it was Racing that won, its socket is Target's from now on. The action
// is SendHeader or Relay.
func (s *Session) OnConnected(side int, silent bool, now int64) Action {
	if s.Ended() {
		return Abort
	}
	if other := Target + Racing - side; s.Target(other) != nil {
		s.lose(other, side == Racing && silent)
	}
	if side == Racing {
		s.promote()
	}
	a := &s.attempts[0]
	s.events.Connected(s.route)
	if a.target.Connected(time.Duration(now - a.begun)) {
		s.events.TargetBack(s.route, a.target)
	}
	s.state.Phase = Relaying
	s.state.connected, s.state.moved = now, now
	if s.route.SendProxy != 0 {
		return SendHeader
	}
	return Relay
}

// lose forgets the attempt that has lost a race. overtaken: it began first and had no answer when the other had.
func (s *Session) lose(side int, overtaken bool) {
	a := s.drop(side)
	second := false
	if overtaken {
		second = a.target.LostRace(a.halfOpen)
	} else {
		a.target.Abandoned(a.halfOpen)
	}
	a.target.Release()
	if second {
		s.events.Demoted(s.route, a.target)
	}
}

// OnConnectReset reports that an attempt's connection was established, and reset before the engine looked at it: a connect
// that is answered with a reset is refused (tcp_reset() in the kernel's net/ipv4/tcp_input.c). It ends the session.
func (s *Session) OnConnectReset(side int, err error, silent bool, now int64) Action {
	s.OnConnected(side, silent, now)
	return s.End(relay.TargetReset, err)
}

// WasReset reports whether the error of a connect is one for OnConnectReset.
func WasReset(err error) bool { return isReset(err) }
