// Package resolve looks up the names of targets in the background, and keeps what they stand for fresh.
//
// Names are looked up as the machine's other programs do (lookup.go): /etc/hosts, then the servers of /etc/resolv.conf,
// whose changes are followed. An answer is asked for again when its time to live is over (RFC 1035, section 3.2.1), but no
// sooner than after a second and no later than after an hour; one that has none, as from a file, after half a minute.
// Whatever keeps a name from being looked up, a server's word that it does not exist included, leaves the last answer in
// force: it is told once, and the name is asked for again after a second, then two, four, and then every five.
//
// Each question is asked once, however many names, apps and ports depend on it. Few are under way at a time, and a
// schedule sees to it that those without an answer do not hold up the others (schedule.go). An SRV name depends on the
// question for its records, and on one for each host that they name (srv.go).
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

// Report is called when a name begins to fail, with an error, and when it works again, with nil; since is when it began
// to fail. The text of the error is bounded. It must not block, nor call the Resolver.
type Report func(name config.Address, err error, since time.Time)

// Resolver keeps sets of targets told of the addresses of their names. It is safe for concurrent use.
type Resolver struct {
	report Report
	lookUp func(context.Context, question) (answer, error)
	ctx    context.Context // of every lookup
	cancel context.CancelFunc
	work   sync.WaitGroup // the lookups

	mu        sync.Mutex // guards what follows, and all names and records
	names     map[config.Address]*name
	questions map[question]*record
	audiences map[*upstream.Set]*audience
	schedule  *schedule
	telling   []*audience // that have something due since the last flush; nil while nobody holds mu
	visits    int         // records of hosts that were looked at so far
	closed    bool
}

// New makes a resolver, which Close gives back.
func New(report Report) *Resolver {
	r := &Resolver{
		report:    report,
		lookUp:    system().lookUp,
		names:     map[config.Address]*name{},
		questions: map[question]*record{},
		audiences: map[*upstream.Set]*audience{},
		schedule:  newSchedule(),
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Watch keeps the set told of the endpoints of its names, until Forget: of those that are known already, at once. After
// that changed, which may be nil, is called whenever there was something new; it must not block, nor call the Resolver.
func (r *Resolver) Watch(set *upstream.Set, changed func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	if changed == nil {
		changed = func() {}
	}
	a := r.audiences[set]
	if a == nil {
		a = &audience{set: set, due: map[*name]bool{}}
		r.audiences[set] = a
	}
	a.changed = changed
	for _, address := range set.Names() {
		n := r.names[address]
		if n == nil {
			n = r.follow(address, a)
		}
		n.audience[a] = true
		if len(n.endpoints) > 0 || n.fails {
			a.due[n] = true
		}
	}
	a.tell()
	r.telling = nil
}

// follow begins to look a name up for a set.
func (r *Resolver) follow(address config.Address, a *audience) *name {
	n := &name{address: address, audience: map[*audience]bool{a: true}, hosts: map[string]*host{}, settled: make(chan struct{})}
	r.names[address] = n
	n.root = r.depend(n, questionOf(address))
	if !n.root.answer.none() || n.root.asked { // for another port
		r.heard(n, n.root, !n.root.answer.none())
	}
	return n
}

// Forget ends that. What the set knows stays.
func (r *Resolver) Forget(set *upstream.Set) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.audiences[set]
	if r.closed || a == nil {
		return
	}
	a.rest()
	delete(r.audiences, set)
	for _, address := range set.Names() {
		n := r.names[address]
		if n == nil {
			continue
		}
		if delete(n.audience, a); len(n.audience) > 0 {
			continue
		}
		delete(r.names, address)
		if n.timer != nil {
			n.timer.Stop()
		}
		r.release(n, n.root)
		for _, h := range n.hosts {
			r.release(n, h.record)
		}
	}
}

// Await waits until every name of a watched set has been looked up, with or without success, and the set knows; or until
// ctx is done.
func (r *Resolver) Await(ctx context.Context, set *upstream.Set) {
	r.awaitNames(ctx, set)
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.audiences[set]; a != nil {
		r.flushTo(a)
	}
}

func (r *Resolver) awaitNames(ctx context.Context, set *upstream.Set) {
	for _, address := range set.Names() {
		r.mu.Lock()
		n := r.names[address]
		r.mu.Unlock()
		if n == nil {
			continue
		}
		select {
		case <-n.settled:
		case <-ctx.Done():
			return
		case <-r.ctx.Done():
			return
		}
	}
}

// Close ends every lookup and waits for that. The last answers stay with the sets.
func (r *Resolver) Close() {
	r.mu.Lock()
	if !r.closed {
		r.closed = true
		for _, a := range r.audiences {
			a.rest()
		}
		for _, n := range r.names {
			if n.timer != nil {
				n.timer.Stop()
			}
		}
		for _, q := range r.questions {
			r.drop(q)
		}
		r.names, r.audiences = nil, nil
	}
	r.mu.Unlock()
	r.cancel()
	r.work.Wait()
}

// Answer is what is known of a name.
type Answer struct {
	Name      config.Address
	Endpoints []upstream.Endpoint
	Refreshed time.Time     // when that was last asked for with success; zero: never
	Expires   time.Time     // until when it counts
	Overdue   time.Duration // for how long it has been out of date, or the answer of one of its hosts; 0: it is not
	Err       error         // why it cannot be had now; nil: it can. Its text is bounded
	Since     time.Time     // with Err: when that began
}

// Snapshot returns what is known of every name, sorted by name.
func (r *Resolver) Snapshot() []Answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	all := make([]Answer, 0, len(r.names))
	for _, n := range r.names {
		a := Answer{
			Name: n.address, Endpoints: n.endpoints, Refreshed: n.root.refreshed, Expires: n.root.expires, Overdue: n.overdue(now),
		}
		if n.fails {
			a.Err, a.Since = r.problem(n), n.since
		}
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b Answer) int { return strings.Compare(a.Name.String(), b.Name.String()) })
	return all
}
