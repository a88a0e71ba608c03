// Package admit decides who may come in, and how fast: the bounded pool of workers, of which every session holds one from
// the moment it is accepted until both its sides are closed; the gate of an app, by networks, numbers and rates; and the
// pace at which a session's bytes may flow.
package admit

import (
	"container/list"
	"sync"
	"time"
)

// Workers is the bounded pool. It is safe for concurrent use.
type Workers struct {
	// OnFull is called when a connection has to wait for a worker, once per episode, and OnFree when the episode is
	// over, with how long it took. Both are called with the pool locked and must not block or call it. They are set
	// before the pool is used; nil is silence.
	OnFull func(max int)
	OnFree func(after time.Duration)

	mu        sync.Mutex // guards what follows
	max, busy int
	waiting   list.List // of *Place: who waits for a worker, first come first served
	since     time.Time // when the pool became full; zero outside an episode
	episodes  uint64
}

// NewWorkers makes a pool of max workers, at least one.
func NewWorkers(max int) *Workers { return &Workers{max: max} }

// Acquire takes a worker, waiting for one in turn. It returns false, without one, when done is closed first.
func (w *Workers) Acquire(done <-chan struct{}) bool {
	if w.TryAcquire() {
		return true
	}
	turn := make(chan struct{})
	place := w.Request(func() { close(turn) })
	if place == nil {
		return true
	}
	select {
	case <-turn:
		return true
	case <-done:
	}
	if !place.Cancel() { // given in the same moment: pass it on
		w.Release()
	}
	return false
}

// TryAcquire takes a worker if one is free and nobody waits for it.
func (w *Workers) TryAcquire() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.take()
}

// Request takes a worker at once, and returns nil, or waits for one in turn without blocking, and returns the place in
// the queue: granted is called once, when a worker has been taken. It is called with the pool locked and must not
// block or call it.
func (w *Workers) Request(granted func()) *Place {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.take() {
		return nil
	}
	p := &Place{pool: w, granted: granted}
	p.element = w.waiting.PushBack(p)
	w.full()
	return p
}

// Place is somebody's place in the queue for a worker.
type Place struct {
	pool    *Workers
	element *list.Element // nil once the turn has come; guarded by the pool's mu
	granted func()
}

// Cancel leaves the queue. It reports false if the worker was granted before; it is to be released then.
func (p *Place) Cancel() bool {
	p.pool.mu.Lock()
	defer p.pool.mu.Unlock()
	if p.element == nil {
		return false
	}
	p.pool.waiting.Remove(p.element)
	return true
}

// Release gives back a worker that was taken.
func (w *Workers) Release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.busy <= w.max && w.waiting.Len() > 0 {
		w.grant() // the worker changes hands
		return
	}
	w.busy--
	w.free()
}

// grant gives a worker that is taken to whoever has waited longest.
func (w *Workers) grant() {
	p := w.waiting.Remove(w.waiting.Front()).(*Place)
	p.element = nil
	p.granted()
}

// Resize sets the size of the pool. Workers beyond it that are taken are not replaced when they are given back.
func (w *Workers) Resize(max int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.max = max
	for w.busy < w.max && w.waiting.Len() > 0 {
		w.busy++
		w.grant()
	}
	w.free()
}

// take is TryAcquire with the pool locked.
func (w *Workers) take() bool {
	if w.busy >= w.max || w.waiting.Len() > 0 {
		return false
	}
	w.busy++
	return true
}

// Busy is how many workers are taken.
func (w *Workers) Busy() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.busy
}

// Max is the size of the pool.
func (w *Workers) Max() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.max
}

// Paused is how many times accepting had to wait for a worker: the number of episodes, not of connections.
func (w *Workers) Paused() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.episodes
}

// full begins an episode unless one is on.
func (w *Workers) full() {
	if !w.since.IsZero() {
		return
	}
	w.since = time.Now()
	w.episodes++
	if w.OnFull != nil {
		w.OnFull(w.max)
	}
}

// free ends the episode once an eighth of the pool, and at least one worker, is free: a pool that hovers at its limit
// is one episode, not thousands.
func (w *Workers) free() {
	if w.since.IsZero() || w.busy > w.max-max(1, w.max/8) {
		return
	}
	if w.OnFree != nil {
		w.OnFree(time.Since(w.since))
	}
	w.since = time.Time{}
}
