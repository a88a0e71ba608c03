// Package upstream is the targets of one app: their health, choosing one for a session (load balancing), and the
// queue for a free slot.
//
// The health of a target is the result of the connects to it and of its probes. It is a state machine; health.go has
// its table:
//
//	untested is as alive: it differs only in what is known
//	  │  connected, a probe passed
//	  ▼      connect failed, Fall probes failed
//	alive ────────────────────────────────────────▶ dead ◀──────────────────┐
//	  ▲                                               │ retry time came      │ trial failed:
//	  │                                               ▼                      │ the wait doubles
//	  │  connected, Rise probes passed            retryDue ───── picked ───▶ inTrial
//	  └───────────────────────────────────────── any of these ◀── abandoned ──┘
//
// A dead target stays in the rotation. The balancer skips it while a live target can take the session; if none can,
// dead targets are tried in turn. Without probes, a dead target also gets a half-open trial, as in a circuit breaker:
// when its retry time has come, one session at a time picks it as if it were alive. With probes there are no
// half-open trials.
//
// An endpoint begins untested: until the first connect or probe succeeds, nothing shows that it works. It takes sessions as
// if it were alive, and its State is Alive.
//
// Three more states are independent of the health, which is still tracked: an operator drains a target (Drain), the
// configuration takes it down, or it turns out to be the proxy itself (Bar). It takes no new sessions then.
//
// A Target is one address. A name in the configuration is as many targets as it has addresses.
package upstream

import (
	"net/netip"
	"time"

	"tcp-proxy/internal/config"
)

// State is the state of a target as users see it.
type State string

// The states of a target.
const (
	Alive    State = "alive"
	Dead     State = "dead"     // or barred
	Draining State = "draining" // by an operator
	Down     State = "down"     // by the configuration
)

// Target is one endpoint of an app, in one configuration. It is safe for concurrent use.
//
// Pick reserves a slot on it for one session. The session then calls exactly one of Connected, Failed, Abandoned and
// LostRace, and Release once it has ended.
type Target struct {
	config.Target        // as configured, with the weight of the endpoint
	Name          string // its address, after "NAME/" if it is one address of a name
	Addr          netip.AddrPort
	Path          string // of a unix socket; Addr is not valid then

	endpoint endpoint
	policy   *policy
	priority *priority // nil: it is down
	index    int       // in priority.targets
	*state
}

// Same reports whether two targets, maybe of different sets, are the same endpoint of one app.
func (t *Target) Same(other *Target) bool { return t.state == other.state }

// Identity is equal for targets that are the Same. It can be the key of a map.
type Identity struct{ of *state }

// Identity returns which endpoint of which app the target is.
func (t *Target) Identity() Identity { return Identity{t.state} }

// State returns the current state.
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

// Barred reports whether Bar keeps all sessions away from the target.
func (t *Target) Barred() bool { return t.barred.Load() != nil }

// Dead reports whether the target is dead by its connects or probes; Drain, Bar and the configuration do not count.
func (t *Target) Dead() bool { return !t.currentHealth().live() }

// Untested reports whether the State is Alive only because no connect and no probe has succeeded or made it dead yet.
func (t *Target) Untested() bool { return t.currentHealth() == untested && t.State() == Alive }

// Sessions is the number of sessions that hold a slot, including those that are still connecting.
func (t *Target) Sessions() int64 { return t.sessions.Load() }

// Connected reports that the session is connected, and how long the connect took. It returns whether that brought a
// dead target back.
func (t *Target) Connected(took time.Duration) (back bool) {
	t.total.Add(1)
	t.latency.observe(took)
	if t.currentHealth() != alive {
		_, with := t.handle(t.policy, onConnected, nil)
		back = with == revived
	}
	if first := t.resetLostRaces(); first || back || t.policy.byLatency {
		t.changed()
	}
	return back
}

// Failed reports that the connect of the session failed; halfOpen is from Pick. It returns whether that made a live
// target dead. An error whose reason is Local is no result for the target.
func (t *Target) Failed(halfOpen bool, err error) (died bool) {
	reason := ReasonOf(err)
	t.failures[reasonIndex(reason)].Add(1)
	if reason == Local {
		t.Abandoned(halfOpen)
		return false
	}
	t.latency.cancel()
	e := onConnectFailed
	if halfOpen {
		e = onTrialFailed
	}
	_, with := t.handle(t.policy, e, err)
	t.changed()
	return with == diedNow
}

// ClosedEarly counts a session that was connected and that the target ended at once: the target accepts connections
// and does not serve them.
func (t *Target) ClosedEarly() { t.early.Add(1) }

// Moved counts bytes that were relayed to and from the target.
func (t *Target) Moved(up, down int64) {
	t.upload.Add(up)
	t.download.Add(down)
}

// Abandoned reports that the session gave up connecting for a reason that is no fault of the target; halfOpen is from
// Pick.
func (t *Target) Abandoned(halfOpen bool) {
	t.latency.cancel()
	if halfOpen {
		t.handle(t.policy, onTrialAbandoned, nil)
	}
	if halfOpen || t.policy.byLatency {
		t.changed()
	}
}

// Change is the effect of a probe on the health.
type Change int

// The changes.
const (
	Unchanged Change = iota
	Died
	Back
)

// Probed reports the result of a probe: err is nil if it passed. Policy.Rise passes in a row bring a dead target back,
// Policy.Fall failures in a row make a live one dead.
func (t *Target) Probed(err error) Change {
	if err == nil && t.resetLostRaces() {
		defer t.changed()
	}
	switch t.countProbe(t.policy, err) {
	case diedNow:
		t.changed()
		return Died
	case revived:
		t.changed()
		return Back
	}
	return Unchanged
}

// Drain keeps new sessions from the target, or undoes that. Open sessions continue. It reports whether that changed anything.
func (t *Target) Drain(on bool) (changed bool) {
	changed = t.setDrained(on)
	if changed {
		t.changed()
	}
	return changed
}

// Bar keeps all sessions from the target, whose state is dead then, for a reason that no connect or probe can find:
// it is the proxy itself. An empty reason undoes that. Open sessions continue. Bar reports whether the target was not
// barred before, or is no longer.
func (t *Target) Bar(why string) (changed bool) {
	changed = t.setBarred(why)
	if changed {
		t.changed()
	}
	return changed
}

// Retry is the time until the half-open trial of a dead target; 0 if none is scheduled.
func (t *Target) Retry() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return max(0, time.Until(t.retryAt))
}
