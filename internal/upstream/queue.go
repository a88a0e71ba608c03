package upstream

import (
	"container/heap"
	"net/netip"
	"sync"
	"sync/atomic"
)

// queue is the sessions that wait for a place on one of an app's targets, who came first first. Whoever makes room on a
// target offers it; a place that is taken for a session that waits is reserved there and then, so that nobody who comes
// later can take it away. Until an offer is over, the target is full for everybody else: who comes meanwhile waits behind
// those who are there. Only who comes between the moment at which a place is free and the one at which it is offered goes
// before them, as if it had come before that.
//
// No offer is missed: a session is in the queue before it looks for room a last time, and room is seen by those who
// look before it is offered.
//
// Who waits has tried every target that had room, so that most of them have tried the same: those are a group. An offer
// looks at one of each group, however many there are in it.
type queue struct {
	waiting atomic.Int64

	mu      sync.Mutex // guards what follows, and the Tried of those who wait
	groups  []*group   // no two that have tried the same; none is empty
	tickets uint64
}

// Waiter is a session that waits for a place.
type Waiter struct {
	queue   *queue
	tried   *Attempts
	granted func()
	group   *group // nil: it does not wait any more
	place   int    // in the group
	next    *Waiter
}

// Await has a session wait for whom Pick has given ErrFull. granted is called once a place is reserved for it, from any
// goroutine, also before Await returns, and must not block: the next Pick of the session gives that place. If it comes
// to no Pick, Cancel gives it back. tried is not to be touched before granted is called or Cancel returns. A session
// that waits again takes the place in the queue that it had.
func (s *Set) Await(tried *Attempts, source netip.Addr, granted func()) *Waiter {
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
	return w.group == nil
}

// Cancel ends the wait. It reports whether granted was not called, and never will be. Otherwise the place is given back
// if no Pick has taken it.
func (w *Waiter) Cancel() bool {
	w.queue.mu.Lock()
	waited := w.group != nil
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

// looksAtOnce is at how many groups an offer looks at most, one for each place and group, before others may use the queue
// again.
const looksAtOnce = 1024

// offer gives what room a target has to those who wait. If somebody else is about to do so, that is left to them: they
// go on until there is no room, or nobody who waits can use it.
func (q *queue) offer(t *Target) {
	if q.waiting.Load() == 0 || !t.room() {
		return
	}
	q.mu.Lock()
	if t.offered.Load() || q.longest(t) == nil {
		q.mu.Unlock()
		return
	}
	t.offered.Store(true)
	for more := true; more; {
		var granted *Waiter
		if granted, more = q.grantSome(t); !more {
			t.offered.Store(false)
			t.update() // before another session is in the queue: it looks only once
		}
		q.mu.Unlock()
		for ; granted != nil; granted = granted.next {
			granted.granted()
		}
		if more {
			q.mu.Lock()
		}
	}
}

// grantSome gives places on t to those who have waited longest. It returns a list of them, by next, and whether there may
// be more. The caller holds mu, and calls granted without it.
func (q *queue) grantSome(t *Target) (granted *Waiter, more bool) {
	end := &granted
	for looks := 0; looks < looksAtOnce; looks += len(q.groups) {
		w := q.longest(t)
		if w == nil || !t.room() {
			return granted, false
		}
		trial, ok := t.seize(false)
		if !ok {
			return granted, false
		}
		q.grant(w, t, trial)
		*end, end = w, &w.next
	}
	return granted, true
}

// longest is who has waited longest of those who have not tried t; nil if there is none. The caller holds mu.
func (q *queue) longest(t *Target) *Waiter {
	var longest *Waiter
	for _, g := range q.groups {
		w := g.waiters[0]
		if (longest == nil || w.tried.ticket < longest.tried.ticket) && !w.tried.has(t) {
			longest = w
		}
	}
	return longest
}

// grant gives w a place on t. The caller holds mu, and calls granted without it.
func (q *queue) grant(w *Waiter, t *Target, trial bool) {
	q.remove(w)
	w.tried.held, w.tried.trial = t, trial
}

// add puts w among those who have tried the same, in the place that its ticket gives. The caller holds mu.
func (q *queue) add(w *Waiter) {
	w.group = q.groupOf(w.tried)
	heap.Push(w.group, w)
	q.waiting.Add(1)
}

// remove takes w out. The caller holds mu.
func (q *queue) remove(w *Waiter) {
	g := w.group
	heap.Remove(g, w.place)
	w.group = nil
	if g.Len() == 0 {
		q.disband(g)
	}
	q.waiting.Add(-1)
}
