// Package upstream is one app's targets: their state, the marks that sessions leave on them, and choosing one.
//
// What connects and probes show of a target is its health, a state machine whose table is in health.go:
//
//	         connect failed, probes failed (fall)
//	alive ────────────────────────────────────────▶ dead ◀──────────────────┐
//	  ▲                                               │ retry came           │ trial failed:
//	  │                                               ▼                      │ the wait doubles
//	  │  connect stood, probes passed (rise)         due ──── trial began ──▶ on trial
//	  └───────────────────────────────────────── any of these ◀── abandoned ──┘
//
// A dead target keeps its place in the rotation. It is passed over while a live one can take the session, and is tried
// in its turn when no live one is left. Without probes it also gets one trial connection at a time when its retry time
// has come: it is then picked as if it lived. With probes it has no trials.
//
// What the operator wants lies above that: a target that is drained takes no new sessions until that is taken back, and
// one that the configuration has down takes none at all. One that turned out to be the proxy itself is barred: it is dead
// for that reason. Their health goes on being kept.
//
// A Target is one address. A target of the configuration that is a name stands for as many as the name has.
package upstream

import (
	"net/netip"
	"time"

	"tcp-proxy/internal/config"
)

// State is what a target can be.
type State string

// The states of a target.
const (
	Alive    State = "alive"
	Dead     State = "dead"     // or barred
	Draining State = "draining" // the operator says so
	Down     State = "down"     // the configuration says so
)

// Target is one endpoint that sessions can go to, as one configuration has it. It is safe for concurrent use.
//
// Pick reserves a place on it for one session. The session then says exactly one of Connected, Failed and Abandoned,
// and Release once it is over.
type Target struct {
	config.Target        // as configured; the weight is the endpoint's own
	Name          string // what it is called: its address, after "NAME/" if it comes of a name
	Addr          netip.AddrPort
	Path          string // of a unix socket; Addr is not valid then

	endpoint endpoint
	policy   *policy
	tier     *tier // nil if it is down
	place    int   // in the tier
	*state
}

// Same reports whether two targets, of different sets maybe, are the same endpoint of one app.
func (t *Target) Same(other *Target) bool { return t.state == other.state }

// Identity is what targets have in common that are the Same. It can be compared, and be the key of a map.
type Identity struct{ of *state }

// Identity tells which endpoint of which app the target is.
func (t *Target) Identity() Identity { return Identity{t.state} }

// State tells how the target is now.
func (t *Target) State() State {
	switch {
	case t.Down:
		return Down
	case t.drained.Load():
		return Draining
	case t.Dead() || t.Barred():
		return Dead
	}
	return Alive
}

// Barred reports whether the target may not be connected to: see Bar.
func (t *Target) Barred() bool { return t.barred.Load() != nil }

// Dead reports whether connects or probes have found the target dead, whatever the operator wants of it.
func (t *Target) Dead() bool { return t.known() != alive }

// Sessions is how many sessions hold a place, those still connecting included.
func (t *Target) Sessions() int64 { return t.sessions.Load() }

// Connected says that the session's connection stands, and how long that took. It reports whether that brought a dead
// target back.
func (t *Target) Connected(took time.Duration) (back bool) {
	t.total.Add(1)
	t.time.answer(took)
	if t.known() != alive {
		_, with := t.happen(t.policy, connectStood, nil)
		back = with == revived
	}
	if first := t.won(); first || back || t.policy.measures {
		t.changed()
	}
	return back
}

// Failed says that the session, which may be the trial of a dead target, could not connect. It reports whether that
// found a live target dead. An error whose reason is Local tells nothing of the target.
func (t *Target) Failed(trial bool, err error) (died bool) {
	reason := ReasonOf(err)
	t.failures[reasonIndex(reason)].Add(1)
	if reason == Local {
		t.Abandoned(trial)
		return false
	}
	t.time.giveUp()
	e := connectFailed
	if trial {
		e = trialFailed
	}
	_, with := t.happen(t.policy, e, err)
	t.changed()
	return with == killed
}

// ClosedEarly counts a session that was connected and that the target then ended at once: it accepts connections and has
// nothing to say to them.
func (t *Target) ClosedEarly() { t.early.Add(1) }

// Abandoned says that the session, which may be the trial, gave up connecting for a reason that tells nothing of the
// target.
func (t *Target) Abandoned(trial bool) {
	t.time.giveUp()
	if trial {
		t.happen(t.policy, trialAbandoned, nil)
	}
	if trial || t.policy.measures {
		t.changed()
	}
}

// Change is what a probe's verdict changes.
type Change int

// The changes.
const (
	Unchanged Change = iota
	Died
	Back
)

// Probed says what a probe has found: err is nil if it passed. It takes Policy.Rise passes in a row to bring a dead
// target back, and Policy.Fall failures in a row to find a live one dead.
func (t *Target) Probed(err error) Change {
	if err == nil && t.won() {
		defer t.changed()
	}
	switch t.judge(t.policy, err) {
	case killed:
		t.changed()
		return Died
	case revived:
		t.changed()
		return Back
	}
	return Unchanged
}

// Drain has the target take no new sessions, or takes that back. Open sessions go on.
func (t *Target) Drain(on bool) {
	if t.drain(on) {
		t.changed()
	}
}

// Bar has the target take no sessions and be dead, whatever connects and probes find, for a reason that they cannot find:
// it is the proxy itself. An empty reason takes that back. Open sessions go on. It reports whether the target was not
// barred before, or is not any more.
func (t *Target) Bar(why string) (changed bool) {
	changed = t.bar(why)
	if changed {
		t.changed()
	}
	return changed
}

// Retry is how long a dead target still has to wait for its trial connection; 0 if there will be none.
func (t *Target) Retry() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return max(0, time.Until(t.retry))
}
