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

// name is a name in the configuration, with its current endpoints.
type name struct {
	address     config.Address
	subscribers map[*subscriber]bool
	root        *entry              // the question for the name itself
	hosts       map[string]*host    // of an SRV name: by host of the records
	endpoints   []upstream.Endpoint // the last that were found
	excess      int                 // how many more endpoints were found than maxEndpoints
	lookedUp    chan struct{}       // closed when the first lookup has ended, with or without success

	// Counts of hosts, kept up to date so that an answer for one host needs no loop over all.
	pendingHosts int // hosts whose first lookup has not ended
	failingHosts int // hosts whose last lookup failed
	skippedHosts int // hosts that are not looked up because there are more than maxHosts

	changedAt time.Time   // when an answer first differed from endpoints; zero: none does
	mergedAt  time.Time   // when endpoints were last made; zero: never
	timer     *time.Timer // of the next update; may be nil

	failing      bool
	failingSince time.Time
	failingFirst bool // it had no endpoint when it began to fail
}

// maxEndpoints is the maximum number of endpoints of a name.
const maxEndpoints = 1000

const (
	// mergeInterval is the least time between two changes of a name's endpoints: each reads all its answers.
	mergeInterval = time.Second
	// waitForHosts is how long an SRV name waits for the first lookup of all its hosts, so that the first host to be known
	// does not get all sessions.
	waitForHosts = 5 * time.Second
)

// fairKey returns the key whose share the lookups of n count against (schedule.go).
func (n *name) fairKey() fairKey {
	zone := n.address.String()
	if n.address.Network != "srv" {
		_, zone, _ = strings.Cut(normalize(n.address.Host), ".")
	}
	for a := range n.subscribers {
		return fairKey{a.set, zone}
	}
	return fairKey{zone: zone}
}

// handleAnswer updates n after a lookup of e; changed: the answer differs from the one before.
func (r *Resolver) handleAnswer(n *name, e *entry, changed bool) {
	switch {
	case e != n.root:
		n.recount(n.hosts[e.name])
	case changed && n.address.Network == "srv":
		r.updateHosts(n)
	}
	if changed && n.changedAt.IsZero() {
		n.changedAt = time.Now()
	}
	r.update(n)
}

// update makes the endpoints of n if they are due, and reports whether it fails.
func (r *Resolver) update(n *name) {
	if !n.root.asked && n.root.answer.empty() {
		return
	}
	now := time.Now()
	if !n.changedAt.IsZero() {
		due := n.mergedAt.Add(mergeInterval)
		if last := n.changedAt.Add(waitForHosts); n.pendingHosts > 0 && due.Before(last) {
			due = last
		}
		if now.Before(due) {
			r.updateIn(n, due.Sub(now))
		} else {
			r.merge(n)
		}
	}
	if n.pendingHosts == 0 || !n.mergedAt.IsZero() {
		r.updateFailure(n)
	}
}

func (r *Resolver) updateIn(n *name, wait time.Duration) {
	if n.timer == nil {
		n.timer = time.AfterFunc(wait, func() { r.updateLate(n) })
		return
	}
	n.timer.Reset(wait)
}

// updateLate is the function of a name's timer.
func (r *Resolver) updateLate(n *name) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.names[n.address] == n {
		r.update(n)
		r.notify()
	}
}

// merge makes the endpoints of n from the last answers. If they have changed, the subscribers are notified.
func (r *Resolver) merge(n *name) {
	n.changedAt, n.mergedAt = time.Time{}, time.Now()
	found := r.endpoints(n)
	if n.excess = max(0, len(found)-maxEndpoints); n.excess > 0 {
		found = found[:maxEndpoints]
	}
	if len(found) == 0 || slices.Equal(found, n.endpoints) {
		return
	}
	n.endpoints = found
	r.markChanged(n)
}

// endpoints returns the endpoints of a name by the last answers, sorted and without duplicates.
func (r *Resolver) endpoints(n *name) []upstream.Endpoint {
	if n.address.Network == "srv" {
		r.hostVisits += len(n.root.answer.services)
		return n.srvEndpoints()
	}
	return n.root.answer.endpoints(n.address.Port)
}

// updateFailure reports the beginning and the end of a failure, and ends the wait for the first lookup.
func (r *Resolver) updateFailure(n *name) {
	select {
	case <-n.lookedUp:
	default:
		close(n.lookedUp)
	}
	failing := n.root.err != nil || n.failingHosts+n.skippedHosts+n.excess > 0
	if failing == n.failing {
		return
	}
	n.failing = failing
	now := time.Now()
	if failing {
		if n.failingFirst = len(n.endpoints) == 0; n.failingFirst {
			r.markChanged(n)
		}
		n.failingSince = now
	}
	a := r.answer(n, now)
	a.Since, a.First = n.failingSince, !failing && n.failingFirst
	r.report(a)
}

// problem describes a failing name on one line of bounded length, however many hosts it has.
func (r *Resolver) problem(n *name) error {
	var problems []string
	if n.root.err != nil {
		problems = append(problems, n.root.err.Error())
	}
	if n.failingHosts > 0 {
		problems = append(problems, r.describeFailingHosts(n))
	}
	if n.skippedHosts > 0 {
		problems = append(problems, fmt.Sprintf("its records name %d hosts, of which %d are looked up", maxHosts+n.skippedHosts, maxHosts))
	}
	if n.excess > 0 {
		problems = append(problems, fmt.Sprintf("it has %d addresses, of which %d are used", maxEndpoints+n.excess, maxEndpoints))
	}
	return errors.New(sanitize.Text(strings.Join(problems, "; "), maxProblem))
}

// maxProblem is the maximum length of that text, in bytes.
const maxProblem = 3 * sanitize.Limit

// overdue returns how long ago the oldest answer that n depends on expired; 0 if that is less than overdueAfter.
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

// overdueAfter is how long an expired answer may wait for its refresh before it counts as overdue.
const overdueAfter = 5 * time.Second

func (e *entry) overdue(now time.Time) time.Duration {
	if e.refreshed.IsZero() {
		return 0
	}
	return max(0, now.Sub(e.expires))
}
