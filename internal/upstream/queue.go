package upstream

import (
	"container/heap"
	"net/netip"
	"sync"
	"sync/atomic"
)

// queue is the sessions that wait for a slot on a target of one app, first come, first served. Whoever frees a slot
// offers the target to the queue. The queue reserves the slot for a waiting session at once, so that no later session
// can take it. While a target is offered, it is full for all other sessions: they wait behind those that already
// wait. Only a session that comes between the moment when a slot becomes free and the offer can take the slot, as if
// it had come before.
//
// No offer is missed: a session enters the queue before it looks for a free slot one last time, and a slot is free
// for readers before it is offered.
//
// A waiting session has tried every target that had a free slot, so most of them have tried the same targets. These
// are one group. An offer looks at one session of each group, however many there are.
type queue struct {
	waiting atomic.Int64

	mu      sync.Mutex // guards the fields below, and the Attempts of waiting sessions
	groups  []*group   // no two have tried the same targets; none is empty
	tickets uint64
}

// Waiter is a session that waits for a slot.
type Waiter struct {
	queue   *queue
	tried   *Attempts
	granted func()
	group   *group // nil: it waits no longer
	index   int    // in group.waiters
	next    *Waiter
}

// Await queues a session for which Pick has returned ErrFull. It calls granted once a slot is reserved for the
// session, from any goroutine, maybe before Await returns; granted must not block. The next Pick of the session
// returns the target of that slot. If there is no such Pick, Cancel gives the slot back. The caller must not touch
// tried before granted is called or Cancel returns. A session that waits again keeps its position in the queue.
func (s *Set) Await(tried *Attempts, source netip.Addr, granted func()) *Waiter {
	q := &s.shared.queue
	w := &Waiter{queue: q, tried: tried, granted: granted}
	q.mu.Lock()
	if tried.ticket == 0 {
		q.tickets++
		tried.ticket = q.tickets
	}
	q.add(w)
	t, halfOpen := s.shared.active.Load().pick(tried, source)
	if t != nil {
		q.grant(w, t, halfOpen)
	}
	q.mu.Unlock()
	if t != nil {
		granted()
	}
	return w
}

// Continue makes t, which is zero, the attempts of which Keep has returned this. The session keeps its position in the queue, and
// those that come later are behind it.
func (s *Set) Continue(t *Attempts, k Kept) {
	for _, x := range k.Tried {
		t.add(x)
	}
	t.earlier, t.ticket = max(0, k.Count-len(k.Tried)), k.Ticket
	q := &s.shared.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tickets = max(q.tickets, k.Ticket)
}

// Granted reports whether a slot is reserved for the session, or its wait has ended.
func (w *Waiter) Granted() bool {
	w.queue.mu.Lock()
	defer w.queue.mu.Unlock()
	return w.group == nil
}

// Cancel ends the wait. It reports whether granted was not called, and never will be. Otherwise it gives the slot
// back if no Pick has taken it.
func (w *Waiter) Cancel() bool {
	w.queue.mu.Lock()
	waited := w.group != nil
	if waited {
		w.queue.remove(w)
	}
	w.queue.mu.Unlock()
	if t := w.tried.held; t != nil {
		w.tried.held = nil
		t.Abandoned(w.tried.heldHalfOpen)
		t.Release()
		w.queue.offer(t)
	}
	return waited
}

// maxLooksLocked bounds how many groups an offer looks at, once for each slot, before it unlocks the queue for a moment.
const maxLooksLocked = 1024

// offer gives the free slots of a target to waiting sessions. If another goroutine is offering the target, it does
// nothing: that one continues until there is no free slot, or no waiting session can use it.
func (q *queue) offer(t *Target) {
	if q.waiting.Load() == 0 || !t.hasRoom() {
		return
	}
	q.mu.Lock()
	if t.offered.Load() || q.longestWaiting(t) == nil {
		q.mu.Unlock()
		return
	}
	t.offered.Store(true)
	for more := true; more; {
		var granted *Waiter
		if granted, more = q.grantSome(t); !more {
			t.offered.Store(false)
			t.updateActive() // before another session is queued: it looks only once
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

// grantSome gives slots on t to the sessions that have waited longest. It returns a list of them, linked by next, and
// whether there may be more. The caller holds mu, and calls their granted functions after unlocking it.
func (q *queue) grantSome(t *Target) (granted *Waiter, more bool) {
	end := &granted
	for looks := 0; looks < maxLooksLocked; looks += len(q.groups) {
		w := q.longestWaiting(t)
		if w == nil || !t.hasRoom() {
			return granted, false
		}
		halfOpen, ok := t.tryReserve(false)
		if !ok {
			return granted, false
		}
		q.grant(w, t, halfOpen)
		*end, end = w, &w.next
	}
	return granted, true
}

// longestWaiting returns the session that has waited longest of those that have not tried t; nil if there is none.
// The caller holds mu.
func (q *queue) longestWaiting(t *Target) *Waiter {
	var longest *Waiter
	for _, g := range q.groups {
		w := g.waiters[0]
		if (longest == nil || w.tried.ticket < longest.tried.ticket) && !w.tried.has(t) {
			longest = w
		}
	}
	return longest
}

// grant gives w a slot on t. The caller holds mu, and calls granted after unlocking it.
func (q *queue) grant(w *Waiter, t *Target, halfOpen bool) {
	q.remove(w)
	w.tried.held, w.tried.heldHalfOpen = t, halfOpen
}

// add puts w into its group, ordered by ticket. The caller holds mu.
func (q *queue) add(w *Waiter) {
	w.group = q.groupOf(w.tried)
	heap.Push(w.group, w)
	q.waiting.Add(1)
}

// remove takes w out. The caller holds mu.
func (q *queue) remove(w *Waiter) {
	g := w.group
	heap.Remove(g, w.index)
	w.group = nil
	if g.Len() == 0 {
		q.dropGroup(g)
	}
	q.waiting.Add(-1)
}
