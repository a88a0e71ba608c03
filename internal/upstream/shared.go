package upstream

import (
	"sync"
	"sync/atomic"
)

// shared is the state of an app that all its sets share, through all reloads.
type shared struct {
	active atomic.Pointer[rotation] // the rotation that every Pick goes by
	queue  queue

	mu         sync.Mutex          // guards the fields below
	generation int                 // number of rotations that have been active
	states     map[endpoint]*state // of the endpoints of the active rotation, and of removed ones that have sessions or are drained
}

// maxDrainedKept bounds how many endpoints are kept that are in no configuration and have no session, because they
// are drained.
const maxDrainedKept = 100

// stateOf returns the state of an endpoint. The caller holds mu.
func (l *shared) stateOf(e endpoint) *state {
	if s := l.states[e]; s != nil {
		return s
	}
	return &state{}
}

// activate makes r the active rotation. The caller holds mu.
func (l *shared) activate(r *rotation) {
	before := l.active.Load()
	states := make(map[endpoint]*state, len(r.all))
	for _, t := range r.all {
		states[t.endpoint] = t.state
		t.activate(t)
		t.updateKey()
	}
	if before != nil {
		for i := range min(len(r.priorities), len(before.priorities)) {
			r.priorities[i].continueFrom(before.priorities[i])
		}
	}
	l.active.Store(r)
	l.generation++
	if before != nil {
		for _, t := range before.all {
			t.deactivate(t)
		}
	}
	idle := 0
	for e, s := range l.states {
		if states[e] != nil {
			continue
		}
		if s.sessions.Load() == 0 {
			if !s.drained.Load() || idle == maxDrainedKept {
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
		if t.priority != nil {
			l.queue.offer(t)
		}
	}
}
