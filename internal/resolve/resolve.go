// Package resolve looks up the names of targets in the background and refreshes them.
//
// A name is looked up as other programs on the machine do it (lookup.go): in /etc/hosts, then at the servers of
// /etc/resolv.conf; both files are read again when they change. An answer is refreshed when its time to live has expired
// (RFC 1035, section 3.2.1), but not earlier than a second and not later than an hour after the last lookup; an answer
// without a time to live, such as one from a file, after half a minute. If a lookup fails, also if a server says that the
// name does not exist, the last answer stays in use: the failure is reported once, and the lookup is retried after one
// second, then two, four, and then every five.
//
// Each question is asked once, however many names, apps and ports depend on it. The number of concurrent lookups is
// bounded, and a schedule keeps questions without an answer from delaying the others (schedule.go). An SRV name depends on
// the question for its records and on one question for each host in them (srv.go).
package resolve

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/upstream"
)

// Report is called when a name begins to fail, and without Err when it works; Since is when it began to fail then. It must not
// block and must not call the Resolver.
type Report func(Answer)

// Resolver passes the addresses of names to the sets of targets that subscribe to them. It is safe for concurrent use.
type Resolver struct {
	report Report
	lookUp func(context.Context, question) (answer, error)
	ctx    context.Context // parent of every lookup's context
	cancel context.CancelFunc
	work   sync.WaitGroup // the goroutines of lookups

	mu          sync.Mutex // guards the fields below, and all names and entries
	names       map[config.Address]*name
	entries     map[question]*entry
	subscribers map[*upstream.Set]*subscriber
	schedule    *schedule
	pending     []*subscriber // subscribers with undelivered changes since the last notify; nil while nobody holds mu
	hostVisits  int           // how often a host of an SRV name was looked at; for tests of the amount of work
	closed      bool
}

// New returns a resolver. The caller must Close it.
func New(report Report) *Resolver {
	r := &Resolver{
		report:      report,
		lookUp:      systemClient().lookUp,
		names:       map[config.Address]*name{},
		entries:     map[question]*entry{},
		subscribers: map[*upstream.Set]*subscriber{},
		schedule:    newSchedule(),
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Subscribe delivers the endpoints of the set's names to the set until Unsubscribe, those that are already known before it
// returns. After each later delivery it calls changed, which may be nil, must not block and must not call the Resolver.
func (r *Resolver) Subscribe(set *upstream.Set, changed func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	if changed == nil {
		changed = func() {}
	}
	a := r.subscribers[set]
	if a == nil {
		a = &subscriber{set: set, due: map[*name]bool{}}
		r.subscribers[set] = a
	}
	a.changed = changed
	for _, address := range set.Names() {
		n := r.names[address]
		if n == nil {
			n = r.addName(address, a)
		}
		n.subscribers[a] = true
		if len(n.endpoints) > 0 || n.failing {
			a.due[n] = true
		}
	}
	a.send()
	r.pending = nil
}

// addName begins to look up a name for its first subscriber.
func (r *Resolver) addName(address config.Address, a *subscriber) *name {
	n := &name{address: address, subscribers: map[*subscriber]bool{a: true}, hosts: map[string]*host{}, lookedUp: make(chan struct{})}
	r.names[address] = n
	n.root = r.addDependency(n, questionOf(address))
	if !n.root.answer.empty() || n.root.asked { // another name, such as one with another port, has asked already
		r.handleAnswer(n, n.root, !n.root.answer.empty())
	}
	return n
}

// Unsubscribe ends the deliveries to a set. The set keeps its last endpoints.
func (r *Resolver) Unsubscribe(set *upstream.Set) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.subscribers[set]
	if r.closed || a == nil {
		return
	}
	a.stopTimer()
	delete(r.subscribers, set)
	for _, address := range set.Names() {
		n := r.names[address]
		if n == nil {
			continue
		}
		if delete(n.subscribers, a); len(n.subscribers) > 0 {
			continue
		}
		delete(r.names, address)
		if n.timer != nil {
			n.timer.Stop()
		}
		r.removeDependency(n, n.root)
		for _, h := range n.hosts {
			r.removeDependency(n, h.entry)
		}
	}
}

// Await waits until every name of a subscribed set has been looked up once, with or without success, and the results are
// delivered; or until ctx is done.
func (r *Resolver) Await(ctx context.Context, set *upstream.Set) {
	r.awaitLookups(ctx, set)
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.subscribers[set]; a != nil {
		r.deliver(a)
	}
}

func (r *Resolver) awaitLookups(ctx context.Context, set *upstream.Set) {
	for _, address := range set.Names() {
		r.mu.Lock()
		n := r.names[address]
		r.mu.Unlock()
		if n == nil {
			continue
		}
		select {
		case <-n.lookedUp:
		case <-ctx.Done():
			return
		case <-r.ctx.Done():
			return
		}
	}
}

// Close cancels all lookups and waits for them to end. The sets keep their last endpoints.
func (r *Resolver) Close() {
	r.mu.Lock()
	if !r.closed {
		r.closed = true
		for _, a := range r.subscribers {
			a.stopTimer()
		}
		for _, n := range r.names {
			if n.timer != nil {
				n.timer.Stop()
			}
		}
		for _, e := range r.entries {
			r.drop(e)
		}
		r.names, r.subscribers = nil, nil
	}
	r.mu.Unlock()
	r.cancel()
	r.work.Wait()
}

// Answer is the state of a name.
type Answer struct {
	Name      config.Address
	Endpoints []upstream.Endpoint
	Refreshed time.Time     // when the last lookup succeeded; zero: never
	Expires   time.Time     // when the answer expires
	Overdue   time.Duration // how long ago the answer, or that of one of its hosts, expired; 0: it is up to date
	Err       error         // why the last lookup failed or found only a part; nil: it did not. Its text is bounded
	Partial   bool          // with Err: there are Endpoints, but not those of a complete answer
	Since     time.Time     // with Err: when the name began to fail
	First     bool          // in a Report without Err: the name had no endpoint when it began to fail
}

// answer returns the state of a name.
func (r *Resolver) answer(n *name, now time.Time) Answer {
	a := Answer{
		Name: n.address, Endpoints: n.endpoints, Refreshed: n.root.refreshed, Expires: n.root.expires, Overdue: n.overdue(now),
	}
	if n.failing {
		a.Err, a.Since = r.problem(n), n.failingSince
		a.Partial = len(n.endpoints) > 0 && (n.root.err == nil || n.root.partial || n.root.refreshed.IsZero())
	}
	return a
}

// Snapshot returns the state of every name, sorted by name.
func (r *Resolver) Snapshot() []Answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	all := make([]Answer, 0, len(r.names))
	for _, n := range r.names {
		all = append(all, r.answer(n, now))
	}
	slices.SortFunc(all, func(a, b Answer) int { return strings.Compare(a.Name.String(), b.Name.String()) })
	return all
}
