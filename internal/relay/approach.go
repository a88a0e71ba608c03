package relay

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/upstream"
)

// Approach is a session's way to a target: whether the client may come in, whom to try next, and what a try has shown.
// The engine connects. Every target that Next or Rival returns is answered with one of Connected, Failed, Abandoned
// and Overtaken, which give its place back; after Connected Over does.
type Approach struct {
	route  *Route
	events *Events

	client  netip.Addr
	refused admit.Refusal // why the gate has not let it in

	tried  upstream.Attempts
	waiter *upstream.Waiter    // nil unless it waits, or has
	on     [2]*upstream.Target // that are being connected to; nil: none
	err    error               // of the last that failed
	to     *upstream.Target    // the connection to it stands, or did; nil: to none

	near *nearby // memory for what is known of a session from this machine; see Meet

	isNear     bool    // it is one
	inside     bool    // the gate has let it in
	left       bool    // its places are given back
	unresolved bool    // it waits for the first answer of a name, or else for a place
	trial      [2]bool // being connected to is what tells whether a dead target is back
	local      bool    // every failure so far was this machine's
	first      finish  // which side has finished first
}

// RivalAfter is how long an attempt goes on alone: then the engine asks for a rival.
const RivalAfter = 250 * time.Millisecond

// Begin makes a, which is new or over, the way of a session. Over must follow.
func (a *Approach) Begin(route *Route, events *Events) {
	*a = Approach{route: route, events: events, tried: a.tried, near: a.near, local: true}
	if route.Meter != nil {
		route.Meter.Begun()
	}
}

// Knock asks the app's gate for the client, whose address is not valid on a unix socket. It comes before the first Next.
// A cause is why the session ends; "": it goes on. If it is not decided, only the number of those who are inside is in the
// client's way: the engine takes in which sessions have ended in the kernel, gives back their places, and calls Admit.
func (a *Approach) Knock(client netip.Addr) (cause Cause, decided bool) {
	a.client = client.Unmap().WithZone("")
	refusal := a.route.Gate.TryEnter(a.client)
	if refusal.ByNumber() {
		return "", false
	}
	return a.admit(refusal), true
}

// Admit is Knock that decides.
func (a *Approach) Admit(client netip.Addr) Cause {
	a.client = client.Unmap().WithZone("")
	return a.admit(a.route.Gate.Enter(a.client))
}

func (a *Approach) admit(refusal admit.Refusal) Cause {
	a.refused = refusal
	switch refusal {
	case "":
		a.inside = true
		return ""
	case admit.Denied:
		return Denied
	}
	return Limited
}

// Next returns the target to try now. Without one there is a cause and an error that the session ends with; or no
// cause: all that are left have all the sessions they may have, or the names of all are still being looked up for the
// first time, and the session may Await a place. A session may go through thousands of targets: an engine that has others
// to serve lets them have their turn in between.
func (a *Approach) Next() (*upstream.Target, Cause, error) {
	if a.exhausted() {
		return nil, a.refusal(), a.err
	}
	t, trial, err := a.route.Targets.Pick(&a.tried, a.client)
	switch {
	case err == nil:
		return a.begin(t, trial), "", nil
	case errors.Is(err, upstream.ErrFull), errors.Is(err, upstream.ErrUnresolved):
		a.unresolved = errors.Is(err, upstream.ErrUnresolved)
		return nil, "", err
	case a.tried.Len() > 0:
		return nil, a.refusal(), a.err
	}
	return nil, NoTarget, err
}

// exhausted reports whether the session has tried as many targets as it may.
func (a *Approach) exhausted() bool {
	limit := a.route.ConnectAttempts
	return limit > 0 && a.tried.Len() >= limit
}

func (a *Approach) refusal() Cause {
	if a.local {
		return Internal
	}
	return ConnectFailed
}

// Await has the session wait for a place. granted is called once when it has one, which the next Next gives: from any
// goroutine, maybe before Await returns. It must not block. Until then, or GiveUp, the approach is not to be touched.
func (a *Approach) Await(granted func()) {
	a.waiter = a.route.Targets.Await(&a.tried, a.client, granted)
}

// Granted reports whether a place was granted to the session, which awaits one. Next gives it.
func (a *Approach) Granted() bool { return a.waiter.Granted() }

// GiveUp ends a wait that was as long as one attempt may be. It returns what the session ends with.
func (a *Approach) GiveUp() (Cause, error) {
	a.endWait()
	cause, lack := Limited, upstream.ErrFull
	if a.unresolved {
		cause, lack = NoTarget, upstream.ErrUnresolved
	}
	return cause, fmt.Errorf("for %v, %w", a.route.ConnectTimeout, lack)
}

func (a *Approach) endWait() {
	if a.waiter != nil {
		a.waiter.Cancel()
		a.waiter = nil
	}
}

// MayRival reports whether there may be a rival for t: it is one address of a name.
func (a *Approach) MayRival(t *upstream.Target) bool {
	return t.Path == "" && strings.IndexByte(t.Name, '/') >= 0
}

// Rival returns a target to try beside t, which has had RivalAfter for its answer: another address of the same name, of
// the other family. The one that stands first is the session's, the other is to be abandoned. It returns nil if there
// is none.
func (a *Approach) Rival(t *upstream.Target) *upstream.Target {
	if a.exhausted() {
		return nil
	}
	r, trial := a.route.Targets.Race(t, &a.tried)
	if r == nil {
		return nil
	}
	return a.begin(r, trial)
}

// begin notes an attempt.
func (a *Approach) begin(t *upstream.Target, trial bool) *upstream.Target {
	n := 0
	if a.on[n] != nil {
		n = 1
	}
	a.on[n], a.trial[n] = t, trial
	return t
}

// finish forgets an attempt, and returns whether it was a trial.
func (a *Approach) finish(t *upstream.Target) (trial bool) {
	n := a.attempt(t)
	a.on[n] = nil
	if a.to == t {
		a.keepDialled(n)
	} else {
		a.forgetDialled(n)
	}
	return a.trial[n]
}

// attempt is the number of the attempt at t.
func (a *Approach) attempt(t *upstream.Target) int {
	if a.on[0] == t {
		return 0
	}
	return 1
}

// Failed says that connecting to t gave err. It marks the target dead, unless the fault is this machine's.
func (a *Approach) Failed(t *upstream.Target, err error) {
	a.err = fmt.Errorf("connect to %s: %w", t.Name, err)
	a.local = a.local && upstream.ReasonOf(err) == upstream.Local
	died := t.Failed(a.finish(t), err)
	t.Release()
	a.events.ConnectFailed(a.route, t, err, died)
}

// Connected says that the connection to t stands, and how long that took.
func (a *Approach) Connected(t *upstream.Target, took time.Duration) {
	a.to = t
	a.finish(t)
	a.events.Connected(a.route)
	if t.Connected(took) {
		a.events.TargetBack(a.route, t)
	}
}

// Abandoned says that the session gave up connecting to t for what is not the target's fault.
func (a *Approach) Abandoned(t *upstream.Target) {
	t.Abandoned(a.finish(t))
	t.Release()
}

// Early is how soon after the connect a target that ends a session has done so early. See Target.ClosedEarly.
const Early = time.Second

// finish is which side has finished first.
type finish uint8

const (
	nobody finish = iota
	clientFirst
	targetFirst
	targetEarly // it was the target, and early
)

// Finished says that a side has sent its last byte, all of which was passed on, and how long after the connection to the
// target stood. by is the cause that this would be. Only the first call counts.
func (a *Approach) Finished(by Cause, after time.Duration) {
	switch {
	case a.first != nobody:
	case by != TargetClosed:
		a.first = clientFirst
	case after > Early:
		a.first = targetFirst
	default:
		a.first = targetEarly
	}
}

// droppedEarly reports whether the target, which was connected, has ended the session early: closed or reset it within
// Early, without a byte for the client, who had not finished.
func (a *Approach) droppedEarly(r *Record) bool {
	reset := a.first == nobody && r.Cause == TargetReset && r.Duration-r.Connect <= Early
	return r.Download == 0 && (reset || a.first == targetEarly)
}

// Overtaken says that the session gave up connecting to t because its rival, which was begun later, stands.
func (a *Approach) Overtaken(t *upstream.Target) {
	second := t.LostRace(a.finish(t))
	t.Release()
	if second {
		a.events.Demoted(a.route, t)
	}
}

// Leave gives back the session's places, on its target and at the gate. Its sockets to targets are closed. It comes before
// the client's is: a client that sees the end may connect again at once, and is not to be refused for itself.
func (a *Approach) Leave() {
	if a.left {
		return
	}
	a.left = true
	a.endWait()
	a.forgetDialled(0)
	if a.to != nil {
		a.to.Release()
	}
	if a.inside {
		a.route.Gate.Leave(a.client)
	}
}

// Over accounts for the session, and has it Leave if it has not: all its sockets are closed. The engine has filled in what
// it knows; the rest is what the approach has seen. What is left is memory for the next.
func (a *Approach) Over(r *Record) {
	a.Leave()
	r.Route, r.App, r.Attempts, r.Refused = a.route, a.route.App, a.tried.Len(), a.refused
	connect := time.Duration(0)
	switch last := a.tried.Last(); {
	case a.to != nil:
		if a.droppedEarly(r) {
			a.to.ClosedEarly()
		}
		r.Target = a.to.Name
		connect = r.Connect
	case last != nil:
		r.Target = last.Name
	}
	if m := a.route.Meter; m != nil {
		m.Ended(string(r.Cause), connect, r.Duration)
	}
	if r.Cause == Internal && !errors.Is(r.Err, a.err) && linux.Exhausted(r.Err) { // of failed connects was told
		a.events.Short(LackSession, a.route, r.Err)
	}
	a.events.Ended(r)
	a.tried.Reset()
	*a = Approach{tried: a.tried, near: a.near}
}
