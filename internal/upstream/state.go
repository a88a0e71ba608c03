package upstream

import (
	"sync"
	"sync/atomic"
	"time"
)

// retryGrowth bounds how far the time to the next trial connection grows: to this many times the first.
const retryGrowth = 10

// state is what is found out about an endpoint, and outlives changes of the configuration.
type state struct {
	sessions atomic.Int64
	health   atomic.Uint32 // a health; changes under mu
	drained  atomic.Bool
	offered  atomic.Bool            // its places are for those who wait, until they are served; changes under mu of the queue
	lost     atomic.Int32           // races in a row, each to a rival; changes under mu
	second   atomic.Bool            // it is tried second; changes under mu
	barred   atomic.Pointer[string] // why it may not be connected to; nil: it may. Changes under mu
	time     times
	total    atomic.Int64 // sessions that were connected
	early    atomic.Int64 // of those, the ones that it ended early
	failures [len(Reasons)]atomic.Int64

	// now is the target that the rotation in force has for the endpoint; nil if it has none.
	now atomic.Pointer[Target]

	mu    sync.Mutex // guards what follows
	since time.Time  // of the last change of State
	err   error      // the last that the target gave while it was dead
	wait  time.Duration
	retry time.Time // when a dead target is due for a trial; zero if it gets none
	timer *time.Timer
	gone  bool // no trial will come

	secondUntil time.Time
	secondTimer *time.Timer // nil unless it is second

	passed, failed         int // probes in a row
	passedEver, failedEver int64
	probed                 time.Time // last
	probeErr               error     // of the last probe
}

func (s *state) known() health { return health(s.health.Load()) }

// happen takes an event, whose error is err if it has one, through the state machine. It returns what the health was
// before, and the effect. The policy is that of the target that the event came to; the one in force goes before it.
func (s *state) happen(p *policy, e event, err error) (was health, with effect) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.step(p, e, err)
}

// step is happen for those who hold mu.
func (s *state) step(p *policy, e event, err error) (was health, with effect) {
	if t := s.now.Load(); t != nil {
		p = t.policy
	}
	was = s.known()
	next := steps[e][was]
	s.health.Store(uint32(next.to))
	if err != nil && next.to != alive {
		s.err = err
	}
	switch next.with {
	case killed:
		s.since, s.passed = time.Now(), 0
		s.time.forget()
		s.wait = p.Retry
		s.schedule(p, s.wait)
	case waits:
		s.wait = min(2*s.wait, retryGrowth*p.Retry)
		s.schedule(p, s.wait)
	case revived:
		s.since, s.failed = time.Now(), 0
		s.unschedule()
	}
	return was, next.with
}

// schedule has retryCame happen after a while, unless probes do it. The caller holds mu.
func (s *state) schedule(p *policy, after time.Duration) {
	s.unschedule()
	if p.Probed || s.gone {
		return
	}
	s.retry = time.Now().Add(after)
	s.timer = time.AfterFunc(after, s.tryAgain)
}

func (s *state) unschedule() {
	s.retry = time.Time{}
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
}

// tryAgain is called when the time of a trial has come, or is too late to be stopped.
func (s *state) tryAgain() {
	s.mu.Lock()
	t := s.now.Load()
	came := t != nil && s.timer != nil && !time.Now().Before(s.retry)
	if came {
		s.step(t.policy, retryCame, nil)
	}
	s.mu.Unlock()
	if came {
		s.changed()
	}
}

// judge counts a probe and has what that adds up to happen.
func (s *state) judge(p *policy, err error) (with effect) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.now.Load(); t != nil {
		p = t.policy
	}
	s.probed, s.probeErr = time.Now(), err
	if err == nil {
		s.passedEver++
		s.passed, s.failed = s.passed+1, 0
		if s.passed >= p.Rise {
			_, with = s.step(p, risen, nil)
		}
		return with
	}
	s.failedEver++
	s.passed, s.failed = 0, s.failed+1
	if s.failed >= p.Fall {
		_, with = s.step(p, fallen, err)
	} else if s.known() != alive {
		s.err = err
	}
	return with
}

// drain reports whether that changed anything.
func (s *state) drain(on bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drained.Swap(on) == on {
		return false
	}
	s.since = time.Now()
	return true
}

// bar reports whether that changed anything.
func (s *state) bar(why string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.barred.Load()
	if why == "" {
		s.barred.Store(nil)
	} else {
		s.barred.Store(&why)
	}
	changed := (was == nil) != (why == "")
	if changed && s.known() == alive {
		s.since = time.Now()
	}
	return changed
}

// enter makes t the target in force for the endpoint.
func (s *state) enter(t *Target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.now.Swap(t)
	s.gone = false
	if s.since.IsZero() || before != nil && before.Down != t.Down {
		s.since = time.Now()
	}
	switch {
	case t.policy.Probed:
		s.step(t.policy, retryEnded, nil)
		s.unschedule()
	case s.known() == dead:
		s.wait = min(max(s.wait, t.policy.Retry), retryGrowth*t.policy.Retry)
		if s.timer == nil || time.Until(s.retry) > s.wait {
			s.schedule(t.policy, s.wait)
		}
	}
}

// leave is called when no target in force stands for the endpoint any more, if t was the last.
func (s *state) leave(t *Target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now.CompareAndSwap(t, nil) {
		s.gone = true
		s.unschedule()
		s.firstAgain()
	}
}

// retire is called when no session comes to the app any more.
func (s *state) retire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
	s.unschedule()
	s.firstAgain()
}
