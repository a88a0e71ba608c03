// Package target is one app's targets: their state, the marks that sessions leave on them, and choosing one.
//
//	alive ── connect failed ──▶ dead ── connect succeeded ──▶ alive
//
// A dead target keeps its place in the rotation. It is passed over while a live one can take the session, but for one
// trial connection at a time when its retry time has come, and is tried in its turn when no live one is left. A target
// that the configuration has down takes no session at all.
package target

import (
	"sync"
	"sync/atomic"
	"time"

	"tcp-proxy/internal/config"
)

// State is what a target can be.
type State string

// The states of a target.
const (
	Alive State = "alive"
	Dead  State = "dead"
	Down  State = "down" // the configuration says so
)

// retryGrowth bounds how far the time to the next trial connection grows: to this many times the first.
const retryGrowth = 10

// Target is one place that sessions can go to. It is safe for concurrent use.
//
// Pick reserves a place on it for one session. The session then says exactly one of Connected, Failed and Abandoned,
// and Release once it is over.
type Target struct {
	config.Target
	Name string // its address as the configuration gives it

	first time.Duration // to the first trial connection
	*state
}

// state is what is found out about a target, and outlives changes of its configuration.
type state struct {
	sessions atomic.Int64
	dead     atomic.Bool // mirrors the mark below, for Pick

	mu    sync.Mutex // guards the mark
	wait  time.Duration
	retry time.Time // when a dead target is due for a trial
	trial bool      // one is on
}

// State tells how the target is now.
func (t *Target) State() State {
	switch {
	case t.Down:
		return Down
	case t.dead.Load():
		return Dead
	}
	return Alive
}

// Sessions is how many sessions hold a place, those still connecting included.
func (t *Target) Sessions() int64 { return t.sessions.Load() }

// Connected says that the session's connection stands. It reports whether that brought a dead target back.
func (t *Target) Connected() (back bool) {
	if !t.dead.Load() {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	back = t.dead.Load()
	t.dead.Store(false)
	t.trial, t.wait = false, 0
	return back
}

// Failed says that the session, which may be the trial of a dead target, could not connect. It reports whether that
// found a live target dead. After a trial that fails, a dead target waits twice as long for the next, up to ten times
// the first wait.
func (t *Target) Failed(trial bool) (died bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	died = !t.dead.Load()
	switch {
	case died:
		t.wait = t.first
	case trial:
		t.wait = min(2*t.wait, retryGrowth*t.first)
	default:
		return false // tried for want of a live one: the trial keeps its time
	}
	t.dead.Store(true)
	t.trial = false
	t.retry = time.Now().Add(t.wait)
	return died
}

// Abandoned says that the session, which may be the trial, gave up connecting for a reason that tells nothing of the
// target.
func (t *Target) Abandoned(trial bool) {
	if !trial {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.trial = false
}

// Release gives back the place that Pick reserved.
func (t *Target) Release() { t.sessions.Add(-1) }

// Retry is how long a dead target still has to wait for its trial connection.
func (t *Target) Retry() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return max(0, time.Until(t.retry))
}

// fit reports whether a session may go to the target: it is alive, or dead and due for a trial.
func (t *Target) fit() bool {
	if !t.dead.Load() {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.due()
}

func (t *Target) isDead() bool { return t.dead.Load() }

func (t *Target) isFull() bool {
	return t.MaxSessions > 0 && t.sessions.Load() >= int64(t.MaxSessions)
}

// reserve takes a place for a session, which becomes the trial of a dead target that is due for one. It fails if the
// last place is gone.
func (t *Target) reserve() (trial, ok bool) {
	if n := t.sessions.Add(1); t.MaxSessions > 0 && n > int64(t.MaxSessions) {
		t.sessions.Add(-1)
		return false, false
	}
	if !t.dead.Load() {
		return false, true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	trial = t.due()
	t.trial = t.trial || trial
	return trial, true
}

// due reports whether a trial connection is to be made now. The caller holds mu.
func (t *Target) due() bool { return !t.trial && !time.Now().Before(t.retry) }
