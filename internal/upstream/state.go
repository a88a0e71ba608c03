package upstream

import (
	"sync"
	"sync/atomic"
	"time"
)

// retryGrowth bounds the exponential back-off of half-open trials: the wait grows to this many times the first one.
const retryGrowth = 10

// state is what the app knows about an endpoint. It outlives changes of the configuration.
type state struct {
	sessions  atomic.Int64
	health    atomic.Uint32 // a health; changes under mu
	drained   atomic.Bool
	offered   atomic.Bool            // its slots are for waiting sessions until the offer ends; changes under queue.mu
	racesLost atomic.Int32           // in a row; changes under mu
	demoted   atomic.Bool            // changes under mu; see race.go
	barred    atomic.Pointer[string] // why no session may go there; nil: it is not barred. Changes under mu
	latency   latency
	total     atomic.Int64 // sessions that were connected
	early     atomic.Int64 // sessions of total that the target ended early
	failures  [len(Reasons)]atomic.Int64
	upload    atomic.Int64 // bytes to the target
	download  atomic.Int64 // bytes from the target

	// active is the target that the active rotation has for the endpoint; nil if it has none.
	active atomic.Pointer[Target]

	mu         sync.Mutex    // guards the fields below
	since      time.Time     // of the last change of State, or of the first success of an untested target
	err        error         // the last error of the dead target
	backoff    time.Duration // between half-open trials
	retryAt    time.Time     // when a dead target is due for a half-open trial; zero: none is scheduled
	retryTimer *time.Timer
	retired    bool // there will be no half-open trial and no demotion

	demotedUntil  time.Time
	demotionTimer *time.Timer // nil: not demoted

	passedInRow, failedInRow int   // probes
	passedTotal, failedTotal int64 // probes
	lastProbe                time.Time
	lastProbeErr             error // nil: it passed
}

func (s *state) currentHealth() health { return health(s.health.Load()) }

// handle applies an event to the health. err is the error of the event, or nil. It returns the health before the
// event, and the effect. p is the policy of the target that the event came from; the policy of the active target has
// precedence.
func (s *state) handle(p *policy, e event, err error) (was health, with effect) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.handleLocked(p, e, err)
}

// handleLocked is handle for callers that hold mu.
func (s *state) handleLocked(p *policy, e event, err error) (was health, with effect) {
	if t := s.active.Load(); t != nil {
		p = t.policy
	}
	was = s.currentHealth()
	next := transitions[e][was]
	s.health.Store(uint32(next.to))
	if err != nil && !next.to.live() {
		s.err = err
	}
	switch next.effect {
	case diedNow:
		s.setSince()
		s.passedInRow = 0
		s.latency.reset()
		s.backoff = p.Retry
		s.scheduleRetry(p, s.backoff)
	case backedOff:
		s.backoff = min(2*s.backoff, retryGrowth*p.Retry)
		s.scheduleRetry(p, s.backoff)
	case revived:
		s.setSince()
		s.failedInRow = 0
		s.cancelRetry()
	case proved:
		s.setSince()
	}
	return was, next.effect
}

// setSince is called when the health has changed. The State does not follow the health while the target is drained, barred
// or down. The caller holds mu.
func (s *state) setSince() {
	t := s.active.Load()
	if s.drained.Load() || s.barred.Load() != nil || t != nil && t.Down {
		return
	}
	s.since = time.Now()
}

// scheduleRetry makes a half-open trial due after a while, unless probes bring the target back. The caller holds mu.
func (s *state) scheduleRetry(p *policy, after time.Duration) {
	s.cancelRetry()
	if p.Probed || s.retired {
		return
	}
	s.retryAt = time.Now().Add(after)
	s.retryTimer = time.AfterFunc(after, s.retryTimeCame)
}

// cancelRetry cancels the half-open trial that is scheduled. The caller holds mu.
func (s *state) cancelRetry() {
	s.retryAt = time.Time{}
	if s.retryTimer != nil {
		s.retryTimer.Stop()
		s.retryTimer = nil
	}
}

// retryTimeCame is called by retryTimer, maybe after it was stopped.
func (s *state) retryTimeCame() {
	s.mu.Lock()
	t := s.active.Load()
	came := t != nil && s.retryTimer != nil && !time.Now().Before(s.retryAt)
	if came {
		s.handleLocked(t.policy, onRetryTime, nil)
	}
	s.mu.Unlock()
	if came {
		s.changed()
	}
}

// countProbe counts the result of a probe and applies onRise or onFall if there were enough in a row, otherwise onPass if
// it passed.
func (s *state) countProbe(p *policy, err error) (with effect) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.active.Load(); t != nil {
		p = t.policy
	}
	s.lastProbe, s.lastProbeErr = time.Now(), err
	if err == nil {
		s.passedTotal++
		s.passedInRow, s.failedInRow = s.passedInRow+1, 0
		e := onPass
		if s.passedInRow >= p.Rise {
			e = onRise
		}
		_, with = s.handleLocked(p, e, nil)
		return with
	}
	s.failedTotal++
	s.passedInRow, s.failedInRow = 0, s.failedInRow+1
	if s.failedInRow >= p.Fall {
		_, with = s.handleLocked(p, onFall, err)
	} else if !s.currentHealth().live() {
		s.err = err
	}
	return with
}

// setDrained reports whether it changed anything.
func (s *state) setDrained(on bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drained.Swap(on) == on {
		return false
	}
	s.since = time.Now()
	return true
}

// setBarred reports whether the target was not barred before, or is no longer.
func (s *state) setBarred(why string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.barred.Load()
	if why == "" {
		s.barred.Store(nil)
	} else {
		s.barred.Store(&why)
	}
	changed := (was == nil) != (why == "")
	if changed && s.currentHealth().live() {
		s.since = time.Now()
	}
	return changed
}

// activate makes t the active target of the endpoint.
func (s *state) activate(t *Target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.active.Swap(t)
	s.retired = false
	if s.since.IsZero() || before != nil && before.Down != t.Down {
		s.since = time.Now()
	}
	switch {
	case t.policy.Probed:
		s.handleLocked(t.policy, onProbing, nil)
		s.cancelRetry()
	case s.currentHealth() == dead:
		s.backoff = min(max(s.backoff, t.policy.Retry), retryGrowth*t.policy.Retry)
		if s.retryTimer == nil || time.Until(s.retryAt) > s.backoff {
			s.scheduleRetry(t.policy, s.backoff)
		}
	}
}

// deactivate is called when no active target has the endpoint any more. It does nothing if t is not the last that had it.
func (s *state) deactivate(t *Target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active.CompareAndSwap(t, nil) {
		s.retired = true
		s.cancelRetry()
		s.endDemotion()
	}
}

// retire is called when the app is removed.
func (s *state) retire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retired = true
	s.cancelRetry()
	s.endDemotion()
}
