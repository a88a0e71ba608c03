package upstream

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"tcp-proxy/internal/config"
)

// The errors of Pick.
var (
	ErrNone       = errors.New("no target is left to try")
	ErrFull       = errors.New("every remaining target has reached its max_sessions")
	ErrUnresolved = errors.New("no target name has an address yet")
)

// Policy is how an app treats its targets.
type Policy struct {
	Balance string        // one of the Balance constants of package config; "" is round_robin
	Retry   time.Duration // how long a dead target waits for its first half-open trial
	Probed  bool          // probes bring dead targets back: there are no half-open trials
	Rise    int           // so many probes passed in a row bring a dead target back; 0 is 1
	Fall    int           // so many probes failed in a row make a live target dead; 0 is 1
}

// policy is a Policy and the balancer that it names.
type policy struct {
	Policy
	*balancer
}

// Set is the targets of one app in one configuration. All ports of the app share it, and its rotation. It is safe for
// concurrent use.
type Set struct {
	shared  *shared
	targets []config.Target
	named   map[config.Address]bool // the result of Names
	policy  *policy

	answers    map[config.Address][]Endpoint // guarded by shared.mu
	unknown    map[config.Address]bool       // names without an address; guarded by shared.mu
	generation int                           // shared.generation when the rotation was made; guarded by shared.mu
	rotation   atomic.Pointer[rotation]      // changes under shared.mu
}

// NewSet makes the targets of an app. Targets that the set before has too (nil: there is none) keep their state, by
// address, and names keep their addresses. Every Pick, also of the new set, goes by the set before until Activate;
// without a set before, the new one is active at once.
func NewSet(targets []config.Target, p Policy, before *Set) *Set {
	p.Rise, p.Fall = max(1, p.Rise), max(1, p.Fall)
	s := &Set{
		targets: slices.Clone(targets),
		policy:  &policy{p, balancers[cmp.Or(p.Balance, config.BalanceRoundRobin)]},
		named:   map[config.Address]bool{},
		answers: map[config.Address][]Endpoint{},
		unknown: map[config.Address]bool{},
	}
	for _, name := range s.Names() {
		s.named[name] = true
	}
	if before == nil {
		s.shared = &shared{}
		s.Activate()
		return s
	}
	s.shared = before.shared
	s.shared.mu.Lock()
	defer s.shared.mu.Unlock()
	for name := range s.named {
		if found := before.answers[name]; found != nil {
			s.answers[name] = found
		}
		if before.unknown[name] {
			s.unknown[name] = true
		}
	}
	s.makeRotation()
	return s
}

// Activate replaces the active set of the app: every later Pick goes by this one, also those of sessions that have
// the set before, and those that wait.
func (s *Set) Activate() {
	s.shared.mu.Lock()
	defer s.shared.mu.Unlock()
	r := s.shared.active.Load()
	if r != nil && r.set == s {
		return
	}
	if s.generation != s.shared.generation || r == nil {
		s.makeRotation()
	}
	s.shared.activate(s.rotation.Load())
}

// makeRotation makes the rotation. The caller holds shared.mu.
func (s *Set) makeRotation() {
	s.generation = s.shared.generation
	s.rotation.Store(newRotation(s))
}

// Retire is called when the app is removed: only sessions that have begun still connect. Its dead targets get no more
// half-open trials.
func (s *Set) Retire() {
	s.shared.mu.Lock()
	defer s.shared.mu.Unlock()
	for _, t := range s.shared.active.Load().all {
		t.retire()
	}
}

// All returns every endpoint, in the order of the configuration. The caller must not change the slice.
func (s *Set) All() []*Target { return s.rotation.Load().all }

// Pick chooses the next target for a session, reserves a slot on it, and adds it to tried. The balancer chooses among
// the live targets, and those that are due for a half-open trial; then among the backups of that kind. Then come the
// dead targets in turn, and the dead backups. source is the address of the client; it is not valid if the client has
// none. Without a target, the error is ErrFull if only MaxSessions stood in the way, ErrUnresolved if the first
// answer of a name is still to come, and otherwise ErrNone. The session passes halfOpen to the method that reports
// the result.
func (s *Set) Pick(tried *Attempts, source netip.Addr) (t *Target, halfOpen bool, err error) {
	if t = tried.held; t != nil {
		tried.held = nil
		tried.add(t)
		return t, tried.heldHalfOpen, nil
	}
	r := s.shared.active.Load()
	if t, halfOpen = r.pick(tried, source); t != nil {
		tried.add(t)
		s.shared.queue.offer(t) // there may be more free slots
		return t, halfOpen, nil
	}
	switch {
	case r.full(tried):
		return nil, false, ErrFull
	case r.unresolved && len(r.priorities) == 0 && len(tried.targets) == 0:
		return nil, false, ErrUnresolved
	}
	return nil, false, ErrNone
}
