package resolve

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/sanitize"
	"tcp-proxy/internal/upstream"
)

// name is one that a configuration gives. What follows from it is told to sets.
type name struct {
	address   config.Address
	audience  map[*audience]bool
	root      *record
	hosts     map[string]*host    // srv: of the records' hosts
	endpoints []upstream.Endpoint // the last that there were
	excess    int                 // endpoints that there were beside those, and are not used
	settled   chan struct{}       // closed when it has been looked up once, with or without success

	// Of hosts, so that an answer of one needs no look at the others.
	waiting int // those that were never asked
	failing int // those that cannot be looked up
	left    int // those that are not asked at all: there are too many

	changed time.Time   // since when the answers say other than endpoints; zero: they do not
	merged  time.Time   // when endpoints were made; zero: never
	timer   *time.Timer // to when they are made again; may be nil

	fails bool
	since time.Time // when it began to fail
}

// maxEndpoints is how many endpoints one name can have.
const maxEndpoints = 1000

const (
	// mergeEvery is how far apart the changes of a name's endpoints are at least: it takes a look at all its answers.
	mergeEvery = time.Second
	// waitForHosts is how long a name waits for its hosts that were never asked, so that the first of several does not
	// stand alone. One that stays silent does not keep the others waiting for longer.
	waitForHosts = 5 * time.Second
)

// party is whose places the lookups of n take (schedule).
func (n *name) party() party {
	zone := n.address.String()
	if n.address.Network != "srv" {
		_, zone, _ = strings.Cut(bare(n.address.Host), ".")
	}
	for a := range n.audience {
		return party{a.set, zone}
	}
	return party{zone: zone}
}

// heard takes note that a question was asked that n depends on; changed: its answer is another than before.
func (r *Resolver) heard(n *name, q *record, changed bool) {
	switch {
	case q != n.root:
		n.count(n.hosts[q.name])
	case changed && n.address.Network == "srv":
		r.dependOnHosts(n)
	}
	if changed && n.changed.IsZero() {
		n.changed = time.Now()
	}
	r.settle(n)
}

// settle makes the endpoints of n if it is time to, and tells what has become of it.
func (r *Resolver) settle(n *name) {
	if !n.root.asked && n.root.answer.none() {
		return
	}
	now := time.Now()
	if !n.changed.IsZero() {
		due := n.merged.Add(mergeEvery)
		if last := n.changed.Add(waitForHosts); n.waiting > 0 && due.Before(last) {
			due = last
		}
		if now.Before(due) {
			r.settleIn(n, due.Sub(now))
		} else {
			r.merge(n)
		}
	}
	if n.waiting == 0 || !n.merged.IsZero() {
		r.judge(n)
	}
}

func (r *Resolver) settleIn(n *name, wait time.Duration) {
	if n.timer == nil {
		n.timer = time.AfterFunc(wait, func() { r.settleLate(n) })
		return
	}
	n.timer.Reset(wait)
}

// settleLate is called when what a name waited for is over.
func (r *Resolver) settleLate(n *name) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.names[n.address] == n {
		r.settle(n)
		r.flush()
	}
}

// merge makes the endpoints of n from the last answers, and tells its sets if there is something new.
func (r *Resolver) merge(n *name) {
	n.changed, n.merged = time.Time{}, time.Now()
	found := r.find(n)
	if n.excess = max(0, len(found)-maxEndpoints); n.excess > 0 {
		found = found[:maxEndpoints]
	}
	if len(found) == 0 || slices.Equal(found, n.endpoints) {
		return
	}
	n.endpoints = found
	r.tell(n)
}

// find gives the endpoints of a name by the last answers, sorted and without repetition.
func (r *Resolver) find(n *name) []upstream.Endpoint {
	if n.address.Network == "srv" {
		r.visits += len(n.root.answer.services)
		return n.findServices()
	}
	return n.root.answer.endpoints(n.address.Port)
}

// judge tells whether n fails, if that is new. Whoever waits for its first answer waits no more.
func (r *Resolver) judge(n *name) {
	select {
	case <-n.settled:
	default:
		close(n.settled)
	}
	fails := n.root.err != nil || n.failing+n.left+n.excess > 0
	if fails == n.fails {
		return
	}
	n.fails = fails
	if fails {
		if len(n.endpoints) == 0 {
			r.tell(n)
		}
		n.since = time.Now()
		r.report(n.address, r.problem(n), n.since)
		return
	}
	r.report(n.address, nil, n.since)
}

// problem is what is wrong with a name that fails, on one line of bounded length, however many hosts it has.
func (r *Resolver) problem(n *name) error {
	var problems []string
	if n.root.err != nil {
		problems = append(problems, n.root.err.Error())
	}
	if n.failing > 0 {
		problems = append(problems, r.failingHosts(n))
	}
	if n.left > 0 {
		problems = append(problems, fmt.Sprintf("its records name %d hosts, of which %d are looked up", maxHosts+n.left, maxHosts))
	}
	if n.excess > 0 {
		problems = append(problems, fmt.Sprintf("it has %d addresses, of which %d are used", maxEndpoints+n.excess, maxEndpoints))
	}
	return errors.New(sanitize.Text(strings.Join(problems, "; "), maxProblem))
}

// maxProblem is the length of a text that tells what is wrong with a name, in bytes.
const maxProblem = 3 * sanitize.Limit

// overdue is for how long an answer that n depends on has been out of date; zero: all are good, or late by a moment.
func (n *name) overdue(now time.Time) time.Duration {
	worst := n.root.overdue(now)
	for _, h := range n.hosts {
		worst = max(worst, h.overdue(now))
	}
	if worst < overdueAfter {
		return 0
	}
	return worst
}

// overdueAfter is when an answer that is out of date counts as one: a lookup takes its time.
const overdueAfter = 5 * time.Second

func (q *record) overdue(now time.Time) time.Duration {
	if q.refreshed.IsZero() {
		return 0
	}
	return max(0, now.Sub(q.expires))
}
