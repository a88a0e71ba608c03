package target

import (
	"net/netip"
	"sync"
	"sync/atomic"
)

// queue is the sessions that wait for a place on one of an app's targets, who came first first. Whoever makes room on a
// target offers it; a place that is taken for a session that waits is reserved there and then, so that nobody who comes
// later can take it away.
//
// No offer is missed: a session is in the queue before it looks for room a last time, and room is seen by those who
// look before it is offered.
type queue struct {
	waiting atomic.Int64

	mu          sync.Mutex // guards what follows, and the Tried of those who wait
	first, last *Waiter
	tickets     uint64
}

// Waiter is a session that waits for a place.
type Waiter struct {
	queue      *queue
	tried      *Tried
	granted    func()
	prev, next *Waiter
	queued     bool
}

// Await has a session wait for whom Pick has given ErrFull. granted is called once a place is reserved for it, from any
// goroutine, also before Await returns, and must not block: the next Pick of the session gives that place. If it comes
// to no Pick, Cancel gives it back. tried is not to be touched before granted is called or Cancel returns. A session
// that waits again takes the place in the queue that it had.
func (s *Set) Await(tried *Tried, source netip.Addr, granted func()) *Waiter {
	q := &s.line.queue
	w := &Waiter{queue: q, tried: tried, granted: granted}
	q.mu.Lock()
	if tried.ticket == 0 {
		q.tickets++
		tried.ticket = q.tickets
	}
	q.add(w)
	t, trial := s.line.inForce.Load().pick(tried, source)
	if t != nil {
		q.grant(w, t, trial)
	}
	q.mu.Unlock()
	if t != nil {
		granted()
	}
	return w
}

// Granted reports whether a place is reserved for the session, or its wait has ended.
func (w *Waiter) Granted() bool {
	w.queue.mu.Lock()
	defer w.queue.mu.Unlock()
	return !w.queued
}

// Cancel ends the wait. It reports whether granted was not called, and never will be. Otherwise the place is given back
// if no Pick has taken it.
func (w *Waiter) Cancel() bool {
	w.queue.mu.Lock()
	waited := w.queued
	if waited {
		w.queue.remove(w)
	}
	w.queue.mu.Unlock()
	if t := w.tried.held; t != nil {
		w.tried.held = nil
		t.Abandoned(w.tried.trial)
		t.Release()
		w.queue.offer(t)
	}
	return waited
}

// grantsAtOnce is how many places an offer grants at most, lest it takes long. Each of those who are granted one offers
// what is left, when it takes its place or gives it back.
const grantsAtOnce = 1024

// offer gives what room a target has to those who wait.
func (q *queue) offer(t *Target) {
	if q.waiting.Load() == 0 || t.key() > keyDead {
		return
	}
	var granted *Waiter // a list of them, by next
	q.mu.Lock()
	for w, n := q.first, 0; w != nil && n < grantsAtOnce && t.key() <= keyDead; {
		next := w.next
		if !w.tried.has(t) {
			trial, ok := t.reserve(false)
			if !ok {
				break
			}
			q.grant(w, t, trial)
			w.next, granted = granted, w
			n++
		}
		w = next
	}
	q.mu.Unlock()
	for w := granted; w != nil; w = w.next {
		w.granted()
	}
}

// grant gives w a place on t. The caller holds mu, and calls granted without it.
func (q *queue) grant(w *Waiter, t *Target, trial bool) {
	q.remove(w)
	w.tried.held, w.tried.trial = t, trial
}

// add puts w in the place that its ticket gives. The caller holds mu.
func (q *queue) add(w *Waiter) {
	w.prev = q.last
	if w.prev != nil && w.prev.tried.ticket > w.tried.ticket {
		w.prev = nil
		for x := q.first; x.tried.ticket < w.tried.ticket; x = x.next {
			w.prev = x
		}
	}
	if w.prev == nil {
		w.next, q.first = q.first, w
	} else {
		w.next, w.prev.next = w.prev.next, w
	}
	if w.next == nil {
		q.last = w
	} else {
		w.next.prev = w
	}
	w.queued = true
	q.waiting.Add(1)
}

// remove takes w out. The caller holds mu.
func (q *queue) remove(w *Waiter) {
	if w.prev == nil {
		q.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		q.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next, w.queued = nil, nil, false
	q.waiting.Add(-1)
}
