package resolve

import (
	"container/list"
	"context"
	"strings"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/sanitize"
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
	owner     *name  // one of names, whose share of the lookups it takes
	answer    answer // the last that there was
	refreshed time.Time
	expires   time.Time
	asked     bool  // at least once, to the end
	err       error // of the last time
	failures  int   // in a row
	slow      bool  // the last lookup took more than quickPatience

	// It waits for its time, for a place, or for its answer.
	timer  *time.Timer        // to the next time it is asked
	lane   *lane              // where it waits or is asked
	party  party              // in the lane
	waits  *list.Element      // in the party's queue; nil: it does not
	began  time.Time          // when the lookup began
	cancel context.CancelFunc // of the lookup; nil: none is under way
}

// How often a question is asked.
const (
	minTTL     = time.Second
	maxTTL     = time.Hour
	defaultTTL = 30 * time.Second // where none is known
	minBackOff = time.Second
	maxBackOff = 5 * time.Second
)

// depend has n depend on a question, which is asked if it is new.
func (r *Resolver) depend(n *name, q question) *record {
	have := r.questions[q]
	if have == nil {
		have = &record{question: q, names: map[*name]bool{}, owner: n}
		r.questions[q] = have
		r.ask(have)
	}
	have.names[n] = true
	if n.root == nil || n.root == have { // not as one host of many
		have.owner = n
	}
	return have
}

// release ends that. A question that nobody depends on is not asked again.
func (r *Resolver) release(n *name, q *record) {
	if delete(q.names, n); len(q.names) == 0 {
		r.drop(q)
		return
	}
	if q.owner == n {
		for other := range q.names {
			q.owner = other
			break
		}
	}
}

// drop forgets a question. A lookup that is under way ends, and what it gives is thrown away.
func (r *Resolver) drop(q *record) {
	delete(r.questions, q.question)
	r.schedule.remove(q)
	if q.timer != nil {
		q.timer.Stop()
	}
	if q.cancel != nil {
		q.cancel()
	}
}

// ask has the question asked when there is a place for it.
func (r *Resolver) ask(q *record) {
	q.timer = nil
	r.schedule.add(q)
	r.begin()
}

// begin begins the lookups that there are places for.
func (r *Resolver) begin() {
	for !r.closed {
		q := r.schedule.next()
		if q == nil {
			return
		}
		q.began = time.Now()
		ctx, cancel := context.WithDeadline(r.ctx, q.began.Add(r.patience(q)))
		q.cancel = cancel
		r.work.Go(func() { r.look(ctx, q) })
	}
}

// patience is how long the lookup may take that begins now. What goes on being silent, or has many others wait for its
// place, is asked briefly: a server that looks for an answer has it the next time. Every eighth time there is all patience.
func (r *Resolver) patience(q *record) time.Duration {
	switch {
	case !q.slow:
		return quickPatience
	case q.failures > 0 && q.failures%8 == 0:
		return slowPatience
	case q.failures > 1 || q.lane.crowded(q):
		return quickPatience
	}
	return slowPatience
}

// look is the goroutine of a lookup.
func (r *Resolver) look(ctx context.Context, q *record) {
	found, err := r.lookUp(ctx, q.question)
	r.mu.Lock()
	defer r.mu.Unlock()
	q.cancel()
	q.cancel = nil
	r.schedule.done(q)
	if r.questions[q.question] == q {
		before := q.slow
		q.slow = time.Since(q.began) >= quickPatience
		if err != nil && q.slow && !before {
			r.unfinished(q, found)
		} else {
			r.answered(q, found, err)
		}
	}
	r.flush()
	r.begin()
}

// unfinished takes what a lookup gave that had too little time: it is asked again at once, in the slow lane.
func (r *Resolver) unfinished(q *record, found answer) {
	if !found.none() {
		r.take(q, found.or(q.answer))
	}
	r.ask(q)
}

// answered takes what a lookup gave, and has it asked again in time.
func (r *Resolver) answered(q *record, found answer, err error) {
	now := time.Now()
	var wait time.Duration
	q.err = sanitize.Error(err, sanitize.Limit)
	if err == nil {
		q.refreshed, q.failures = now, 0
		wait = min(max(found.ttl, minTTL), maxTTL)
		q.expires = now.Add(wait)
	} else {
		found = found.or(q.answer)
		wait = min(minBackOff<<min(q.failures, 10), maxBackOff)
		q.failures++
	}
	q.asked = true
	q.timer = time.AfterFunc(wait, func() { r.again(q) })
	r.take(q, found)
}

// take has an answer stand for the question, and tells the names.
func (r *Resolver) take(q *record, found answer) {
	changed := !found.same(q.answer)
	q.answer = found
	for n := range q.names {
		r.heard(n, q, changed)
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
