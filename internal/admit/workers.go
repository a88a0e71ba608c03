// Package admit decides who may come in: today the bounded pool of workers, of which every session holds one from the
// moment it is accepted until both its sides are closed.
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
	waiting   list.List // of chan struct{}: who waits for a worker, first come first served
	since     time.Time // when the pool became full; zero outside an episode
	episodes  uint64
}

// NewWorkers makes a pool of max workers, at least one.
func NewWorkers(max int) *Workers { return &Workers{max: max} }

// Acquire takes a worker, waiting for one in turn. It returns false, without one, when done is closed first.
func (w *Workers) Acquire(done <-chan struct{}) bool {
	w.mu.Lock()
	if w.busy < w.max && w.waiting.Len() == 0 {
		w.busy++
		w.mu.Unlock()
		return true
	}
	turn := make(chan struct{})
	place := w.waiting.PushBack(turn)
	w.full()
	w.mu.Unlock()

	select {
	case <-turn:
		return true
	case <-done:
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-turn: // given in the same moment: pass it on
		w.release()
	default:
		w.waiting.Remove(place)
	}
	return false
}

// Release gives back a worker that Acquire took.
func (w *Workers) Release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.release()
}

func (w *Workers) release() {
	if first := w.waiting.Front(); first != nil {
		close(w.waiting.Remove(first).(chan struct{}))
		return // the worker changes hands
	}
	w.busy--
	w.free()
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
