package resolve

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"

	"tcp-proxy/internal/target"
)

// service is an SRV record (RFC 2782).
type service struct {
	host     string
	port     uint16
	priority int
	weight   int
}

// dependOnHosts has an SRV name depend on the hosts that its records name, and on no others.
func (r *Resolver) dependOnHosts(n *name) {
	before := n.hosts
	n.hosts = make(map[string]*record, len(before))
	for _, s := range n.root.answer.services {
		if n.hosts[s.host] == nil {
			n.hosts[s.host] = r.depend(n, question{name: s.host})
		}
	}
	for host, q := range before {
		if n.hosts[host] == nil {
			r.release(n, q)
		}
	}
}

// findServices gives the endpoints of an SRV name: every address of every record's host. A host that cannot be looked up
// keeps its last addresses; without any it is left out.
//
// The weight of a record is that of its host, so that the addresses of a host share it. Weights go from 1 to 256: larger
// ones, and fractions, are scaled within their priority. Where a priority has no weights, the endpoints have none either.
func (n *name) findServices() (found []target.Endpoint, err error) {
	problems := []error{n.root.err}
	type share struct {
		priority int
		weight   float64
	}
	shares := map[netip.AddrPort]share{}
	for _, s := range n.root.answer.services {
		q := n.hosts[s.host]
		if q.err != nil {
			problems = append(problems, fmt.Errorf("host %s: %w", strings.TrimSuffix(s.host, "."), q.err))
		}
		for _, ip := range q.answer.addresses {
			at, part := netip.AddrPortFrom(ip, s.port), share{s.priority, float64(s.weight) / float64(len(q.answer.addresses))}
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
		found = append(found, target.Endpoint{Addr: at, Weight: scales[s.priority].of(s.weight), Priority: s.priority})
	}
	slices.SortFunc(found, func(a, b target.Endpoint) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), a.Addr.Compare(b.Addr))
	})
	return found, errors.Join(problems...)
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
