package upstream

import (
	"cmp"
	"net/netip"
	"slices"

	"tcp-proxy/internal/config"
)

// Endpoint is one address of a name.
type Endpoint struct {
	Addr     netip.AddrPort
	Weight   int // 1 to 256, or 0: that of the configuration
	Priority int // those with the least are picked before the others
}

// Names returns the addresses of targets that have to be resolved.
func (s *Set) Names() (names []config.Address) {
	for _, c := range s.targets {
		if _, known := endpointOf(c.Address); !known {
			names = append(names, c.Address)
		}
	}
	return names
}

// Answer is what a name was found to stand for. Without endpoints it was looked up and has no address.
type Answer struct {
	Name      config.Address
	Endpoints []Endpoint
}

// Update takes what names stand for now. Endpoints that a name had before keep what is known of them; those that it has no
// more take no new sessions. Endpoints to which no connection can go (config.CheckEndpoint) are left out. If that leaves
// none, or there are none, the ones that the name had before stay; if it had none, sessions do not wait for it any more.
// It takes a look at all targets once, however many names there are.
func (s *Set) Update(answers ...Answer) {
	answers = slices.Clone(answers)
	for i, a := range answers {
		answers[i].Endpoints = ordered(a.Endpoints)
	}
	s.line.mu.Lock()
	defer s.line.mu.Unlock()
	changed := false
	for _, a := range answers {
		changed = s.take(a) || changed
	}
	if changed {
		s.remake()
	}
}

// take reports whether an answer says something new. The caller holds line.mu.
func (s *Set) take(a Answer) bool {
	switch before := s.answers[a.Name]; {
	case !s.named[a.Name]:
		return false
	case len(a.Endpoints) > 0:
		if slices.Equal(before, a.Endpoints) {
			return false
		}
		s.answers[a.Name] = a.Endpoints
		delete(s.unknown, a.Name)
	default:
		if s.unknown[a.Name] || before != nil {
			return false
		}
		s.unknown[a.Name] = true
	}
	return true
}

// Resolved is Take of one name that has endpoints; without any it does nothing.
func (s *Set) Resolved(name config.Address, found []Endpoint) {
	if len(found) > 0 {
		s.Update(Answer{name, found})
	}
}

// Unknown is Take of one name that has no endpoints.
func (s *Set) Unknown(name config.Address) { s.Update(Answer{Name: name}) }

// remake makes the rotation anew. The caller holds line.mu.
func (s *Set) remake() {
	s.make()
	if s.line.inForce.Load().set == s {
		s.line.enforce(s.rotation.Load())
	}
}

// ordered gives the endpoints that can be targets, each address once, in an order that does not depend on that of found.
func ordered(found []Endpoint) []Endpoint {
	var list []Endpoint
	for _, f := range found {
		if f.Addr.IsValid() && config.CheckEndpoint(f.Addr) == nil {
			f.Addr = netip.AddrPortFrom(f.Addr.Addr().Unmap(), f.Addr.Port())
			list = append(list, f)
		}
	}
	slices.SortFunc(list, func(a, b Endpoint) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), a.Addr.Compare(b.Addr), cmp.Compare(b.Weight, a.Weight))
	})
	seen := map[netip.AddrPort]bool{}
	return slices.DeleteFunc(list, func(f Endpoint) bool {
		again := seen[f.Addr]
		seen[f.Addr] = true
		return again
	})
}
