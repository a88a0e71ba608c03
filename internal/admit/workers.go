// Package admit decides whether a client is admitted. Workers is the bounded pool for all apps: a session holds one worker
// from accept until both its sides are closed. A Gate applies the access lists, limits and rates of one app.
package admit

import (
	"container/list"
	"sync"
	"time"
)

// Workers is the bounded pool. It is safe for concurrent use.
type Workers struct {
	// OnFull is called when a connection has to wait for a worker, once per episode, and OnFree at the end of the
	// episode, with its length. Both are called with the pool locked and must not block or call it. They are set
	// before the pool is used, and may be nil.
	OnFull func(max int)
	OnFree func(after time.Duration)

	mu        sync.Mutex // guards what follows
	max, busy int
	waiting   list.List // of *Waiter, first come first served
	since     time.Time // the begin of the episode; zero outside one
	episodes  uint64
}

// NewWorkers makes a pool of max workers, at least one.
func NewWorkers(max int) *Workers { return &Workers{max: max} }

// Acquire takes a worker, and waits for one in turn if none is free. It returns false, without one, if done is closed first.
func (w *Workers) Acquire(done <-chan struct{}) bool {
	if w.TryAcquire() {
		return true
	}
	granted := make(chan struct{})
	waiter := w.Request(func() { close(granted) })
	if waiter == nil {
		return true
	}
	select {
	case <-granted:
		return true
	case <-done:
	}
	if !waiter.Cancel() { // granted at the same moment
		w.Release()
	}
	return false
}

// TryAcquire takes a worker if one is free and nobody waits for one.
func (w *Workers) TryAcquire() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.take()
}

// Request takes a worker without blocking. If one is free it returns nil. Otherwise it queues a waiter, and granted is called
// once, when a worker has been taken for it. granted is called with the pool locked and must not block or call it.
func (w *Workers) Request(granted func()) *Waiter {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.take() {
		return nil
	}
	x := &Waiter{pool: w, granted: granted}
	x.element = w.waiting.PushBack(x)
	w.full()
	return x
}

// Reenter takes a worker for a session that goes on in another engine, even if none is free: Release gives it back. While
// more than max are busy, nobody else gets one.
func (w *Workers) Reenter() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy++
}

// Waiter is a request that waits for a worker.
type Waiter struct {
	pool    *Workers
	element *list.Element // of pool.waiting; nil once granted; guarded by pool.mu
	granted func()
}

// Cancel withdraws the request. It reports false if a worker was granted before; the caller then releases that.
func (x *Waiter) Cancel() bool {
	x.pool.mu.Lock()
	defer x.pool.mu.Unlock()
	if x.element == nil {
		return false
	}
	x.pool.waiting.Remove(x.element)
	return true
}

// Release gives back a worker.
func (w *Workers) Release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.busy <= w.max && w.waiting.Len() > 0 {
		w.grant() // busy stays: the waiter has the worker now
		return
	}
	w.busy--
	w.free()
}

// grant gives a worker, which the caller has counted as busy, to the first waiter.
func (w *Workers) grant() {
	x := w.waiting.Remove(w.waiting.Front()).(*Waiter)
	x.element = nil
	x.granted()
}

// Resize sets the size of the pool. Busy workers beyond it stay busy until they are released.
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

// Busy is the number of workers that are taken.
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

// Paused is the number of episodes in which accepting had to wait for a worker.
func (w *Workers) Paused() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.episodes
}

// full begins an episode unless there is one.
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

// free ends the episode once an eighth of the pool is free, and at least one worker. So a pool that is full again and again
// has one long episode, not thousands.
func (w *Workers) free() {
	if w.since.IsZero() || w.busy > w.max-max(1, w.max/8) {
		return
	}
	if w.OnFree != nil {
		w.OnFree(time.Since(w.since))
	}
	w.since = time.Time{}
}
