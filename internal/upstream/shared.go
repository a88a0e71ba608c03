package upstream

import (
	"sync"
	"sync/atomic"
)

// line is what the sets of one app have in common, through all its reloads.
type line struct {
	inForce atomic.Pointer[rotation]
	queue   queue

	mu     sync.Mutex          // guards what follows
	turn   int                 // how many rotations have been in force
	states map[endpoint]*state // of the rotation in force, and what should be known of endpoints that come back
}

// remembered is how many endpoints that are gone, and have no session either, are known for being drained.
const remembered = 100

// stateOf gives what is known of an endpoint. The caller holds mu.
func (l *line) stateOf(e endpoint) *state {
	if s := l.states[e]; s != nil {
		return s
	}
	return &state{}
}

// enforce puts a rotation in force. The caller holds mu.
func (l *line) enforce(r *rotation) {
	before := l.inForce.Load()
	states := make(map[endpoint]*state, len(r.all))
	for _, t := range r.all {
		states[t.endpoint] = t.state
		t.enter(t)
		t.show()
	}
	if before != nil {
		for i := range min(len(r.tiers), len(before.tiers)) {
			r.tiers[i].follow(before.tiers[i])
		}
	}
	l.inForce.Store(r)
	l.turn++
	if before != nil {
		for _, t := range before.all {
			t.leave(t)
		}
	}
	idle := 0
	for e, s := range l.states {
		if states[e] != nil {
			continue
		}
		if s.sessions.Load() == 0 {
			if !s.drained.Load() || idle == remembered {
				continue
			}
			idle++
		}
		states[e] = s
	}
	l.states = states
	for _, t := range r.all {
		if l.queue.waiting.Load() == 0 {
			return
		}
		if t.tier != nil {
			l.queue.offer(t)
		}
	}
}
