package target

import (
	"errors"
	"sync/atomic"
	"time"

	"tcp-proxy/internal/config"
)

// Why Pick finds no target.
var (
	ErrNone = errors.New("no target is left to try")
	ErrFull = errors.New("every target that is left has all the sessions it may have")
)

// Set is the targets of one app and their rotation, which all its ports share. It is safe for concurrent use.
type Set struct {
	targets []*Target
	tiers   [2]tier // the ordinary targets, then the backups
}

// tier is a rotation: a cycle of turns and whose turn is next. Picking moves on past those it passes over, so that
// each cycle gives every target that can take sessions exactly its share.
type tier struct {
	targets []*Target
	cycle   []int // indexes into targets
	next    atomic.Uint64
}

// NewSet makes the targets of an app. retry is how long a dead one waits for its first trial connection. A target that
// stands in the set before (nil if there is none), by its address, keeps its mark and its sessions; a new one is alive
// unless it is down. Both sets may be used from then on, so that a session can go on with the one that it has.
func NewSet(targets []config.Target, retry time.Duration, before *Set) *Set {
	known := map[config.Address]*state{}
	s := &Set{}
	if before != nil {
		for _, t := range before.targets {
			known[t.Address] = t.state
		}
		for n := range s.tiers {
			s.tiers[n].next.Store(before.tiers[n].next.Load())
		}
	}
	var weights [2][]int
	for _, c := range targets {
		t := &Target{Target: c, Name: c.Address.String(), first: retry, state: known[c.Address]}
		if t.state == nil {
			t.state = &state{}
		}
		s.targets = append(s.targets, t)
		if t.Down {
			continue
		}
		n := 0
		if t.Backup {
			n = 1
		}
		s.tiers[n].targets = append(s.tiers[n].targets, t)
		weights[n] = append(weights[n], t.Weight)
	}
	for n := range s.tiers {
		s.tiers[n].cycle = turns(weights[n])
	}
	return s
}

// All returns the targets in the order of the configuration; the caller must not change the slice.
func (s *Set) All() []*Target { return s.targets }

// Tried is the targets that one session has tried. The zero value is none. It is not safe for concurrent use.
type Tried []*Target

func (t Tried) has(target *Target) bool {
	for _, have := range t {
		if have == target {
			return true
		}
	}
	return false
}

// Pick chooses the next target for a session, reserves a place on it, and adds it to tried. Whose turn it is goes: a
// live target or a dead one that is due for its trial; a backup likewise; then the dead ones, and the dead backups.
// Without one, the error is ErrFull if only MaxSessions stood in the way, or else ErrNone. The session is to hand trial
// back with what comes of it.
func (s *Set) Pick(tried *Tried) (t *Target, trial bool, err error) {
	full := false
	for _, usable := range []func(*Target) bool{(*Target).fit, (*Target).isDead} {
		for n := range s.tiers {
			t, trial := s.tiers[n].pick(func(t *Target) bool {
				if tried.has(t) || !usable(t) {
					return false
				}
				if t.isFull() {
					full = true
					return false
				}
				return true
			})
			if t != nil {
				*tried = append(*tried, t)
				return t, trial, nil
			}
		}
	}
	if full {
		return nil, false, ErrFull
	}
	return nil, false, ErrNone
}

// pick takes the turn of the next target that may be taken and moves the rotation on past it; nil if there is none.
func (r *tier) pick(may func(*Target) bool) (t *Target, trial bool) {
	for {
		first := r.next.Load()
		t, place := r.find(first, may)
		if t == nil {
			return nil, false
		}
		// Another session may have moved the rotation, or taken the target's last place: look again then.
		if !r.next.CompareAndSwap(first, place+1) {
			continue
		}
		if trial, ok := t.reserve(); ok {
			return t, trial
		}
	}
}

// find looks for a target through one cycle that begins at place first.
func (r *tier) find(first uint64, may func(*Target) bool) (t *Target, place uint64) {
	n := uint64(len(r.cycle))
	for place := first; place < first+n; place++ {
		if t := r.targets[r.cycle[place%n]]; may(t) {
			return t, place
		}
	}
	return nil, 0
}
