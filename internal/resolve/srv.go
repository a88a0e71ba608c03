package resolve

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"

	"tcp-proxy/internal/upstream"
)

// service is an SRV record (RFC 2782).
type service struct {
	host     string
	port     uint16
	priority int
	weight   int
}

// maxHosts is the maximum number of hosts of an SRV name that are looked up: the first ones by priority, then by name.
const maxHosts = 500

// host is an entry that an SRV name depends on, and whether it is included in n.pendingHosts and n.failingHosts.
type host struct {
	*entry
	pending, failing bool
}

// updateHosts makes an SRV name depend on exactly the hosts in its records.
func (r *Resolver) updateHosts(n *name) {
	r.hostVisits += len(n.root.answer.services)
	before := n.hosts
	n.hosts = make(map[string]*host, len(before))
	n.pendingHosts, n.failingHosts = 0, 0
	skipped := map[string]bool{}
	for _, s := range n.root.answer.services { // sorted
		switch {
		case n.hosts[s.host] != nil:
		case len(n.hosts) == maxHosts:
			skipped[s.host] = true
		default:
			h := &host{entry: r.addDependency(n, question{name: s.host})}
			n.hosts[s.host] = h
			n.recount(h)
		}
	}
	n.skippedHosts = len(skipped)
	for name, h := range before {
		if n.hosts[name] == nil {
			r.removeDependency(n, h.entry)
		}
	}
}

// recount updates n.pendingHosts and n.failingHosts after a change of a host.
func (n *name) recount(h *host) {
	waits, fails := !h.asked && h.answer.empty(), h.err != nil
	n.pendingHosts += delta(h.pending, waits)
	n.failingHosts += delta(h.failing, fails)
	h.pending, h.failing = waits, fails
}

func delta(before, now bool) int {
	switch {
	case now && !before:
		return 1
	case before && !now:
		return -1
	}
	return 0
}

// describeFailingHosts returns the error of the first failing host, and the number of others. n.failingHosts is not 0.
func (r *Resolver) describeFailingHosts(n *name) string {
	for _, s := range n.root.answer.services {
		r.hostVisits++
		if h := n.hosts[s.host]; h != nil && h.failing {
			text := fmt.Sprintf("host %s: %v", strings.TrimSuffix(s.host, "."), h.err)
			if n.failingHosts > 1 {
				text += fmt.Sprintf(" (and %d more of its hosts)", n.failingHosts-1)
			}
			return text
		}
	}
	return ""
}

// srvEndpoints returns the endpoints of an SRV name: every address of every record's host. A host whose lookup fails keeps
// its last addresses; a host without addresses is skipped out.
//
// The addresses of a host share the weight of its record. Weights are integers from 1 to 256: larger ones, and fractions,
// are scaled within their priority. If all weights of a priority are 0, so are those of its endpoints.
func (n *name) srvEndpoints() (found []upstream.Endpoint) {
	type share struct {
		priority int
		weight   float64
	}
	shares := map[netip.AddrPort]share{}
	for _, s := range n.root.answer.services {
		h := n.hosts[s.host]
		if h == nil {
			continue // skipped
		}
		for _, ip := range h.answer.addresses {
			at, part := netip.AddrPortFrom(ip, s.port), share{s.priority, float64(s.weight) / float64(len(h.answer.addresses))}
			switch have, ok := shares[at]; { // two records may have the same address and port
			case ok && have.priority < part.priority:
				continue
			case ok && have.priority == part.priority:
				part.weight += have.weight
			}
			shares[at] = part
		}
	}
	scales := map[int]*scale{}
	for _, s := range shares {
		if scales[s.priority] == nil {
			scales[s.priority] = &scale{}
		}
		scales[s.priority].fit(s.weight)
	}
	for at, s := range shares {
		found = append(found, upstream.Endpoint{Addr: at, Weight: scales[s.priority].of(s.weight), Priority: s.priority})
	}
	slices.SortFunc(found, func(a, b upstream.Endpoint) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), a.Addr.Compare(b.Addr))
	})
	return found
}

// maxWeight is the maximum weight of an endpoint.
const maxWeight = 256

// scale converts the weights of one priority to the weights of endpoints.
type scale struct {
	largest   float64
	fractions bool
}

func (s *scale) fit(weight float64) {
	s.largest = max(s.largest, weight)
	s.fractions = s.fractions || weight != math.Trunc(weight)
}

// of returns the weight of an endpoint: 0 if no record of the priority has a weight, at least 1 otherwise.
func (s *scale) of(weight float64) int {
	if s.largest == 0 {
		return 0
	}
	if s.largest > maxWeight || s.fractions {
		weight *= maxWeight / s.largest
	}
	return max(1, int(math.Round(weight)))
}
