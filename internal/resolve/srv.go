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

// maxHosts is how many hosts of an SRV name are looked up: the first ones by priority, then by name.
const maxHosts = 500

// host is one that an SRV name depends on, and what n.waiting and n.failing count of it.
type host struct {
	*record
	waits, fails bool
}

// dependOnHosts has an SRV name depend on the hosts that its records name, and on no others.
func (r *Resolver) dependOnHosts(n *name) {
	r.visits += len(n.root.answer.services)
	before := n.hosts
	n.hosts = make(map[string]*host, len(before))
	n.waiting, n.failing = 0, 0
	left := map[string]bool{}
	for _, s := range n.root.answer.services { // sorted
		switch {
		case n.hosts[s.host] != nil:
		case len(n.hosts) == maxHosts:
			left[s.host] = true
		default:
			h := &host{record: r.depend(n, question{name: s.host})}
			n.hosts[s.host] = h
			n.count(h)
		}
	}
	n.left = len(left)
	for name, h := range before {
		if n.hosts[name] == nil {
			r.release(n, h.record)
		}
	}
}

// count brings n.waiting and n.failing up to date with one of n's hosts.
func (n *name) count(h *host) {
	waits, fails := !h.asked && h.answer.none(), h.err != nil
	n.waiting += difference(h.waits, waits)
	n.failing += difference(h.fails, fails)
	h.waits, h.fails = waits, fails
}

func difference(before, now bool) int {
	switch {
	case now && !before:
		return 1
	case before && !now:
		return -1
	}
	return 0
}

// failingHosts tells of one host that cannot be looked up, and how many others there are. n.failing is not 0.
func (r *Resolver) failingHosts(n *name) string {
	for _, s := range n.root.answer.services {
		r.visits++
		if h := n.hosts[s.host]; h != nil && h.fails {
			text := fmt.Sprintf("host %s: %v", strings.TrimSuffix(s.host, "."), h.err)
			if n.failing > 1 {
				text += fmt.Sprintf(" (and %d more of its hosts)", n.failing-1)
			}
			return text
		}
	}
	return ""
}

// findServices gives the endpoints of an SRV name: every address of every record's host. A host that cannot be looked up
// keeps its last addresses; without any it is left out.
//
// The weight of a record is that of its host, so that the addresses of a host share it. Weights go from 1 to 256: larger
// ones, and fractions, are scaled within their priority. Where a priority has no weights, the endpoints have none either.
func (n *name) findServices() (found []upstream.Endpoint) {
	type share struct {
		priority int
		weight   float64
	}
	shares := map[netip.AddrPort]share{}
	for _, s := range n.root.answer.services {
		h := n.hosts[s.host]
		if h == nil {
			continue // one of too many
		}
		for _, ip := range h.answer.addresses {
			at, part := netip.AddrPortFrom(ip, s.port), share{s.priority, float64(s.weight) / float64(len(h.answer.addresses))}
			switch have, ok := shares[at]; { // two records may be of one place
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

// maxWeight is the largest weight of an endpoint.
const maxWeight = 256

// scale turns the weights of one priority into whole numbers that an endpoint can have.
type scale struct {
	largest   float64
	fractions bool
}

func (s *scale) fit(weight float64) {
	s.largest = max(s.largest, weight)
	s.fractions = s.fractions || weight != math.Trunc(weight)
}

// of is 0 for no weight at all. What has little weight beside others keeps the least that there is.
func (s *scale) of(weight float64) int {
	if s.largest == 0 {
		return 0
	}
	if s.largest > maxWeight || s.fractions {
		weight *= maxWeight / s.largest
	}
	return max(1, int(math.Round(weight)))
}
