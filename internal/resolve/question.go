package resolve

import (
	"strings"
	"time"

	"tcp-proxy/internal/config"
)

// question is what is asked: the addresses of a host, or the SRV records of a service.
type question struct {
	srv  bool
	name string // in lower case; a dot at the end keeps search domains out
}

func questionOf(a config.Address) question {
	return question{srv: a.Network == "srv", name: strings.ToLower(a.Host)}
}

// record is a question that some names depend on, and its last answer.
type record struct {
	question
	names     map[*name]bool
	timer     *time.Timer // to the next time it is asked; nil while it waits or is asked
	answer    answer      // the last that there was
	refreshed time.Time
	expires   time.Time
	asked     bool  // at least once
	err       error // of the last time
	failures  int   // in a row
}

// How often a question is asked.
const (
	minTTL     = time.Second
	maxTTL     = time.Hour
	defaultTTL = 30 * time.Second // where none is known
	minBackOff = time.Second
	maxBackOff = 30 * time.Second
)

// lookups is how many are under way at a time.
const lookups = 32

func (q *record) pending() bool { return !q.asked }

// depend has n depend on a question, which is asked if it is new.
func (r *Resolver) depend(n *name, q question) *record {
	have := r.questions[q]
	if have == nil {
		have = &record{question: q, names: map[*name]bool{}}
		r.questions[q] = have
		r.ask(have)
	}
	have.names[n] = true
	return have
}

// release ends that. A question that nobody depends on is not asked again.
func (r *Resolver) release(n *name, q *record) {
	if delete(q.names, n); len(q.names) > 0 {
		return
	}
	q.stop()
	delete(r.questions, q.question)
}

func (q *record) stop() {
	if q.timer != nil {
		q.timer.Stop()
	}
}

// ask has the question asked when a worker is free.
func (r *Resolver) ask(q *record) {
	q.timer = nil
	r.queue = append(r.queue, q)
	if r.workers < lookups {
		r.workers++
		r.work.Go(r.worker)
	}
}

// worker is a goroutine that asks what waits, until nothing does.
func (r *Resolver) worker() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.queue) > 0 && !r.closed {
		q := r.queue[0]
		r.queue[0] = nil
		r.queue = r.queue[1:]
		if r.questions[q.question] != q {
			continue // nobody depends on it any more
		}
		r.mu.Unlock()
		found, err := r.lookUp(r.ctx, q.question)
		r.mu.Lock()
		if r.questions[q.question] == q {
			r.answered(q, found, err)
		}
	}
	r.workers--
}

// answered takes what a lookup gave, has it asked again in time, and tells the names.
func (r *Resolver) answered(q *record, found answer, err error) {
	now := time.Now()
	var wait time.Duration
	q.err = err
	if err == nil {
		q.answer, q.refreshed, q.failures = found, now, 0
		wait = min(max(found.ttl, minTTL), maxTTL)
		q.expires = now.Add(wait)
	} else {
		q.answer = found.or(q.answer)
		wait = min(minBackOff<<min(q.failures, 10), maxBackOff)
		q.failures++
	}
	q.timer = time.AfterFunc(wait, func() { r.again(q) })
	if !q.asked {
		q.asked = true
		defer func() {
			close(r.progress)
			r.progress = make(chan struct{})
		}()
	}
	for n := range q.names {
		r.update(n)
	}
}

// again is called when the time of a question has come.
func (r *Resolver) again(q *record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.questions[q.question] == q {
		r.ask(q)
	}
}
