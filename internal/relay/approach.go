package relay

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/target"
)

// Approach is a session's way to a target: whom to try next, and what a try has shown. The engine connects. Every
// target that Next returns is answered with one of Connected, Failed and Abandoned; Failed and Abandoned give its
// place back, after Connected that is the engine's to do with Release.
type Approach struct {
	route  *Route
	events *Events
	tried  target.Tried
	trial  bool      // of a dead target: what the session does now
	began  time.Time // when it was sent to the last target
	err    error     // of the last failed attempt
	local  bool      // every failure so far was this machine's
}

// NewApproach begins a session's way to one of the route's targets.
func NewApproach(route *Route, events *Events) *Approach {
	a := &Approach{}
	a.Begin(route, events)
	return a
}

// Begin makes a the way of another session, in the memory of the one before.
func (a *Approach) Begin(route *Route, events *Events) {
	a.tried.Reset()
	*a = Approach{route: route, events: events, tried: a.tried, local: true}
}

// Next returns the target to try now; if none is left, nil with the cause and the error that the session ends with.
func (a *Approach) Next() (*target.Target, Cause, error) {
	if limit := a.route.ConnectAttempts; limit > 0 && a.tried.Len() >= limit {
		return nil, a.refusal(), a.err
	}
	t, trial, err := a.route.Targets.Pick(&a.tried, netip.Addr{})
	a.trial, a.began = trial, time.Now()
	switch {
	case err == nil:
		return t, "", nil
	case a.tried.Len() > 0:
		return nil, a.refusal(), a.err
	case errors.Is(err, target.ErrFull):
		return nil, Limited, err
	}
	return nil, NoTarget, err
}

func (a *Approach) refusal() Cause {
	if a.local {
		return Internal
	}
	return ConnectFailed
}

// Failed says that connecting to t, the last target that Next returned, gave err. It marks the target dead, unless
// it was this machine that had no room.
func (a *Approach) Failed(t *target.Target, err error) {
	a.err = fmt.Errorf("connect to %s: %w", t.Name, err)
	died := false
	if linux.Exhausted(err) {
		t.Abandoned(a.trial)
	} else {
		a.local = false
		died = t.Failed(a.trial, err)
	}
	t.Release()
	a.events.ConnectFailed(a.route, t, err, died)
}

// Connected says that the connection to t stands.
func (a *Approach) Connected(t *target.Target) {
	if t.Connected(time.Since(a.began)) {
		a.events.TargetBack(a.route, t)
	}
}

// Abandoned says that the session ended while it was connecting to t.
func (a *Approach) Abandoned(t *target.Target) {
	t.Abandoned(a.trial)
	t.Release()
}

// Attempts is how many targets were tried.
func (a *Approach) Attempts() int { return a.tried.Len() }

// Last is the name of the target that was tried last, or "".
func (a *Approach) Last() string {
	if last := a.tried.Last(); last != nil {
		return last.Name
	}
	return ""
}
