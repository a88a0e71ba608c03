package upstream

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"tcp-proxy/internal/config"
)

// Why Pick finds no target.
var (
	ErrNone       = errors.New("no target is left to try")
	ErrFull       = errors.New("every remaining target has reached its max_sessions")
	ErrUnresolved = errors.New("no target name has an address yet")
)

// Policy is how an app treats its targets.
type Policy struct {
	Balance string        // one of the Balance constants of package config; "" is round_robin
	Retry   time.Duration // how long a dead target waits for its first trial connection
	Probed  bool          // probes bring dead targets back: they get no trials
	Rise    int           // probes passed in a row that bring a dead target back; 0 is 1
	Fall    int           // probes failed in a row that find a live one dead; 0 is 1
}

// policy is a Policy made ready for use.
type policy struct {
	Policy
	*balancer
}

// Set is the targets of one app, as one configuration has them, and their rotation, which all its ports share. It is
// safe for concurrent use.
type Set struct {
	line    *line
	targets []config.Target
	named   map[config.Address]bool // those of Names
	policy  *policy

	answers  map[config.Address][]Endpoint // guarded by line.mu
	unknown  map[config.Address]bool       // names that have no address; guarded by line.mu
	made     int                           // line.turn when the rotation was made; guarded by line.mu
	rotation atomic.Pointer[rotation]      // changes under line.mu
}

// NewSet makes the targets of an app. Those that stand in the set before (nil if there is none), by their address, keep
// what is known of them, and names their addresses. All picks go by the set before, also those from the new set, until
// Enforce; without a set before, the new one is in force at once.
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
		s.line = &line{}
		s.Activate()
		return s
	}
	s.line = before.line
	s.line.mu.Lock()
	defer s.line.mu.Unlock()
	for name := range s.named {
		if found := before.answers[name]; found != nil {
			s.answers[name] = found
		}
		if before.unknown[name] {
			s.unknown[name] = true
		}
	}
	s.make()
	return s
}

// Activate puts the set in force in place of the one before: every pick goes by it from now on, also those of sessions
// that have the set before, and those that wait.
func (s *Set) Activate() {
	s.line.mu.Lock()
	defer s.line.mu.Unlock()
	r := s.line.inForce.Load()
	if r != nil && r.set == s {
		return
	}
	if s.made != s.line.turn || r == nil {
		s.make()
	}
	s.line.enforce(s.rotation.Load())
}

// make makes the rotation. The caller holds line.mu.
func (s *Set) make() {
	s.made = s.line.turn
	s.rotation.Store(newRotation(s))
}

// Retire says that no more sessions come to the app but those on their way. Its dead targets get no more trials.
func (s *Set) Retire() {
	s.line.mu.Lock()
	defer s.line.mu.Unlock()
	for _, t := range s.line.inForce.Load().all {
		t.retire()
	}
}

// All returns every endpoint in the order of the configuration; the caller must not change the slice.
func (s *Set) All() []*Target { return s.rotation.Load().all }

// Pick chooses the next target for a session, reserves a place on it, and adds it to tried. What the balancer says
// goes among the targets that live, or that are due for their trial; then among the backups that do; then come the dead
// ones in turn, and the dead backups. source is the client's address, not valid if it has none. Without a target, the
// error is ErrFull if only MaxSessions stood in the way; ErrUnresolved if the first answer of a name is still to come; or else ErrNone.
// The session is to hand trial back with what comes of it.
func (s *Set) Pick(tried *Attempts, source netip.Addr) (t *Target, trial bool, err error) {
	if t = tried.held; t != nil {
		tried.held = nil
		tried.take(t)
		return t, tried.trial, nil
	}
	r := s.line.inForce.Load()
	if t, trial = r.pick(tried, source); t != nil {
		tried.take(t)
		s.line.queue.offer(t) // there may be more room
		return t, trial, nil
	}
	switch {
	case r.full(tried):
		return nil, false, ErrFull
	case r.unresolved && len(r.tiers) == 0 && tried.Len() == 0:
		return nil, false, ErrUnresolved
	}
	return nil, false, ErrNone
}

// Race reserves a place on another endpoint of the same name as t, of the other family, that lives and was not tried,
// and adds it to tried; nil if there is none. One that is tried second is taken if there is no other. The session answers
// for it as for one that Pick gave.
func (s *Set) Race(t *Target, tried *Attempts) (rival *Target, trial bool) {
	all := s.line.inForce.Load().named[t.Address]
	start := rand.IntN(len(all) + 1)
	for _, second := range []bool{false, true} {
		for i := range all {
			x := all[(start+i)%len(all)]
			if x.Addr.Addr().Is4() == t.Addr.Addr().Is4() || x.second.Load() != second || tried.has(x) {
				continue
			}
			if trial, ok := x.reserve(true); ok {
				tried.take(x)
				s.line.queue.offer(x)
				return x, trial
			}
		}
	}
	return nil, false
}
