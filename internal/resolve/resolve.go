// Package resolve looks up the names of targets in the background, and keeps what they stand for fresh.
//
// Names are looked up as the machine's other programs do: /etc/hosts, then the servers of /etc/resolv.conf, whose changes
// are followed. An answer is asked for again when its time to live is over (RFC 1035, section 3.2.1), but no sooner than
// after a second and no later than after an hour; one that has none, as from a file, after half a minute. Whatever keeps a
// name from being looked up, a server's word that it does not exist included, leaves the last answer in force: it is told
// once, and the name is asked for again after a second, then two, up to half a minute.
//
// Each question is asked once, however many names, apps and ports depend on it, and no more than a few dozen are under way
// at a time. An SRV name depends on the question for its records, and on one for each host that they name (srv.go).
package resolve

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/target"
)

// Report is called when a name begins to fail, with an error, and when it works again, with nil; since is when it began
// to fail. It must not block, nor call the Resolver.
type Report func(name config.Address, err error, since time.Time)

// Resolver keeps sets of targets told of the addresses of their names. It is safe for concurrent use.
type Resolver struct {
	report Report
	lookUp func(context.Context, question) (answer, error)
	ctx    context.Context // of every lookup
	cancel context.CancelFunc
	work   sync.WaitGroup // the workers

	mu        sync.Mutex // guards what follows
	names     map[config.Address]*name
	questions map[question]*record
	queue     []*record
	workers   int
	progress  chan struct{} // closed, and replaced, when a question has been asked for the first time
	closed    bool
}

// name is one that a configuration gives. What follows from it is told to sets.
type name struct {
	address   config.Address
	sets      map[*target.Set]func()
	root      *record
	hosts     map[string]*record // srv: of the records' hosts
	endpoints []target.Endpoint  // the last that there were
	err       error
	since     time.Time // when it began to fail
}

// New makes a resolver, which Close gives back.
func New(report Report) *Resolver {
	r := &Resolver{
		report:    report,
		lookUp:    lookUp,
		names:     map[config.Address]*name{},
		questions: map[question]*record{},
		progress:  make(chan struct{}),
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Watch keeps the set told of the endpoints of its names, until Forget: of those that are known already, at once. After
// that changed, which may be nil, is called whenever there was something new; it must not block, nor call the Resolver.
func (r *Resolver) Watch(set *target.Set, changed func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	if changed == nil {
		changed = func() {}
	}
	for _, address := range set.Names() {
		n := r.names[address]
		if n == nil {
			n = &name{address: address, sets: map[*target.Set]func(){}, hosts: map[string]*record{}}
			r.names[address] = n
			n.root = r.depend(n, questionOf(address))
			r.update(n) // its questions may be others' already
		}
		n.sets[set] = changed
		if len(n.endpoints) > 0 {
			set.Resolved(address, n.endpoints)
		}
		n.tellUnknown(n.err)
	}
}

// Forget ends that. What the set knows stays.
func (r *Resolver) Forget(set *target.Set) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for address, n := range r.names {
		if delete(n.sets, set); len(n.sets) > 0 {
			continue
		}
		delete(r.names, address)
		r.release(n, n.root)
		for _, host := range n.hosts {
			r.release(n, host)
		}
	}
}

// Await waits until every name of a watched set has been looked up, with or without success, or ctx is done.
func (r *Resolver) Await(ctx context.Context, set *target.Set) {
	for {
		r.mu.Lock()
		pending, progress := r.pending(set), r.progress
		r.mu.Unlock()
		if !pending {
			return
		}
		select {
		case <-progress:
		case <-ctx.Done():
			return
		}
	}
}

func (r *Resolver) pending(set *target.Set) bool {
	for _, n := range r.names {
		if n.sets[set] != nil && n.pending() {
			return true
		}
	}
	return false
}

// Close ends every lookup and waits for that. The last answers stay with the sets.
func (r *Resolver) Close() {
	r.mu.Lock()
	if !r.closed {
		r.closed = true
		for _, q := range r.questions {
			q.stop()
		}
		r.names, r.questions = nil, nil
		close(r.progress) // nobody has anything to wait for
	}
	r.mu.Unlock()
	r.cancel()
	r.work.Wait()
}

// Answer is what is known of a name.
type Answer struct {
	Name      config.Address
	Endpoints []target.Endpoint
	Refreshed time.Time // when that was last asked for with success; zero: never
	Expires   time.Time // until when it counts
	Err       error     // why it cannot be had now; nil: it can
	Since     time.Time // with Err: when that began
}

// Snapshot returns what is known of every name, sorted by name.
func (r *Resolver) Snapshot() []Answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Answer, 0, len(r.names))
	for _, n := range r.names {
		a := Answer{Name: n.address, Endpoints: n.endpoints, Refreshed: n.root.refreshed, Expires: n.root.expires, Err: n.err}
		if n.err != nil {
			a.Since = n.since
		}
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b Answer) int { return strings.Compare(a.Name.String(), b.Name.String()) })
	return all
}

// pending reports whether a question that the name depends on has not been asked yet.
func (n *name) pending() bool {
	if n.root.pending() {
		return true
	}
	for _, host := range n.hosts {
		if host.pending() {
			return true
		}
	}
	return false
}

// update tells the sets of n what has become of it, and reports whether it fails. While a question is pending it waits
// for the answer, so that the first of several hosts does not stand alone.
func (r *Resolver) update(n *name) {
	if n.address.Network == "srv" {
		r.dependOnHosts(n)
	}
	if n.pending() {
		return
	}
	found, err := n.find()
	if len(found) > 0 && !slices.Equal(found, n.endpoints) {
		n.endpoints = found
		for set, changed := range n.sets {
			set.Resolved(n.address, found)
			changed()
		}
	}
	n.tellUnknown(err)
	switch {
	case err != nil && n.err == nil:
		n.since = time.Now()
		r.report(n.address, err, n.since)
	case err == nil && n.err != nil:
		r.report(n.address, nil, n.since)
	}
	n.err = err
}

// tellUnknown tells the sets of n if the last lookup gave err and there never was an address.
func (n *name) tellUnknown(err error) {
	if err == nil || len(n.endpoints) > 0 {
		return
	}
	for set := range n.sets {
		set.Unknown(n.address)
	}
}

// maxEndpoints is how many endpoints one name can have.
const maxEndpoints = 1000

// find gives the endpoints of the name by the last answers, sorted and without repetition, and what is wrong with them.
func (n *name) find() (found []target.Endpoint, err error) {
	if n.address.Network == "srv" {
		found, err = n.findServices()
	} else {
		found, err = n.root.answer.endpoints(n.address.Port), n.root.err
	}
	if len(found) > maxEndpoints {
		err = errors.Join(err, &tooMany{len(found)})
		found = found[:maxEndpoints]
	}
	return found, err
}
