package resolve

import (
	"container/list"
	"context"
	"strings"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/sanitize"
)

// question is the subject of a lookup: the addresses of a host, or the SRV records of a service.
type question struct {
	srv  bool
	name string // in lower case; a dot at its end disables search domains
}

func questionOf(a config.Address) question {
	return question{srv: a.Network == "srv", name: strings.ToLower(a.Host)}
}

// entry is a question that names depend on, with its last answer.
type entry struct {
	question
	names     map[*name]bool
	owner     *name  // one of names; the lookup counts against its fair share
	answer    answer // the last one
	refreshed time.Time
	expires   time.Time
	asked     bool  // a lookup has ended at least once
	err       error // of the last lookup
	partial   bool  // the last lookup failed, but found something
	failures  int   // consecutive ones
	slow      bool  // the last lookup took longer than quickTimeout

	// An entry waits to expire (timer), for a slot (queued), or for its answer (cancel).
	timer   *time.Timer        // to the next lookup
	class   *class             // that it is queued or running in
	fairKey fairKey            // that it counts against in the class
	queued  *list.Element      // its element in the queue of its flow; nil: not queued
	began   time.Time          // when the running lookup began
	cancel  context.CancelFunc // of the running lookup; nil: none is running
}

// Limits of the time from one lookup to the next: by the time to live, or after a failure.
const (
	minTTL     = time.Second
	maxTTL     = time.Hour
	defaultTTL = 30 * time.Second // of answers without a time to live
	minBackOff = time.Second
	maxBackOff = 5 * time.Second
)

// addDependency makes n depend on a question, which is asked if it is new.
func (r *Resolver) addDependency(n *name, q question) *entry {
	e := r.entries[q]
	if e == nil {
		e = &entry{question: q, names: map[*name]bool{}, owner: n}
		r.entries[q] = e
		r.enqueue(e)
	}
	e.names[n] = true
	if n.root == nil || n.root == e { // prefer names for which this is the only question
		e.owner = n
	}
	return e
}

// removeDependency undoes addDependency. The entry is dropped with its last dependent name.
func (r *Resolver) removeDependency(n *name, e *entry) {
	if delete(e.names, n); len(e.names) == 0 {
		r.drop(e)
		return
	}
	if e.owner == n {
		for other := range e.names {
			e.owner = other
			break
		}
	}
}

// drop removes an entry. The result of a running lookup is discarded.
func (r *Resolver) drop(e *entry) {
	delete(r.entries, e.question)
	r.schedule.remove(e)
	if e.timer != nil {
		e.timer.Stop()
	}
	if e.cancel != nil {
		e.cancel()
	}
}

// enqueue starts the lookup of an entry as soon as there is a slot.
func (r *Resolver) enqueue(e *entry) {
	e.timer = nil
	r.schedule.add(e)
	r.startLookups()
}

// startLookups starts lookups while there are slots.
func (r *Resolver) startLookups() {
	for !r.closed {
		e := r.schedule.next()
		if e == nil {
			return
		}
		e.began = time.Now()
		ctx, cancel := context.WithDeadline(r.ctx, e.began.Add(r.timeout(e)))
		e.cancel = cancel
		r.work.Go(func() { r.runLookup(ctx, e) })
	}
}

// timeout returns how long the next lookup of an entry may take. An entry that keeps timing out, or that delays many others
// of its flow, has quickTimeout: a recursive server goes on looking and has the answer the next time. Every eighth lookup
// has slowTimeout.
func (r *Resolver) timeout(e *entry) time.Duration {
	switch {
	case !e.slow:
		return quickTimeout
	case e.failures > 0 && e.failures%8 == 0:
		return slowTimeout
	case e.failures > 1 || e.class.oversubscribed(e):
		return quickTimeout
	}
	return slowTimeout
}

// runLookup is the goroutine of a lookup.
func (r *Resolver) runLookup(ctx context.Context, e *entry) {
	found, err := r.lookUp(ctx, e.question)
	r.mu.Lock()
	defer r.mu.Unlock()
	e.cancel()
	e.cancel = nil
	r.schedule.release(e)
	if r.entries[e.question] == e {
		before := e.slow
		e.slow = time.Since(e.began) >= quickTimeout
		if err != nil && e.slow && !before {
			r.retrySlow(e, found)
		} else {
			r.finish(e, found, err)
		}
	}
	r.notify()
	r.startLookups()
}

// retrySlow handles a lookup that exceeded quickTimeout for the first time: it starts again at once, in the class slow.
func (r *Resolver) retrySlow(e *entry, found answer) {
	if !found.empty() {
		r.store(e, found.completedBy(e.answer))
	}
	r.enqueue(e)
}

// finish stores the result of a lookup and schedules the next one.
func (r *Resolver) finish(e *entry, found answer, err error) {
	now := time.Now()
	var wait time.Duration
	e.err = sanitize.Error(err, sanitize.Limit)
	e.partial = err != nil && !found.empty()
	if err == nil {
		e.refreshed, e.failures = now, 0
		wait = min(max(found.ttl, minTTL), maxTTL)
		e.expires = now.Add(wait)
	} else {
		found = found.completedBy(e.answer)
		wait = min(minBackOff<<min(e.failures, 10), maxBackOff)
		e.failures++
	}
	e.asked = true
	e.timer = time.AfterFunc(wait, func() { r.refresh(e) })
	r.store(e, found)
}

// store sets the answer of an entry and updates the names that depend on it.
func (r *Resolver) store(e *entry, found answer) {
	changed := !found.equal(e.answer)
	e.answer = found
	for n := range e.names {
		r.handleAnswer(n, e, changed)
	}
}

// refresh is the function of an entry's timer.
func (r *Resolver) refresh(e *entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.entries[e.question] == e {
		r.enqueue(e)
	}
}
