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
	Weight   int // 1 to 256; 0: the weight in the configuration
	Priority int // of an SRV record (RFC 2782): lower ones are picked first
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

// Answer is the result of looking up a name. Without endpoints, the name has no address.
type Answer struct {
	Name      config.Address
	Endpoints []Endpoint
}

// Update applies the answers of names. Endpoints that a name had before keep their state; endpoints that are not in
// the new answer take no new sessions. Update ignores endpoints to which no connection can go (config.CheckEndpoint).
// If an answer has no endpoint left, the name keeps its previous endpoints; if it had none, sessions no longer wait
// for the name. The cost is one pass over all targets, however many answers there are.
func (s *Set) Update(answers ...Answer) {
	answers = slices.Clone(answers)
	for i, a := range answers {
		answers[i].Endpoints = ordered(a.Endpoints)
	}
	s.shared.mu.Lock()
	defer s.shared.mu.Unlock()
	changed := false
	for _, a := range answers {
		changed = s.update(a) || changed
	}
	if changed {
		s.rebuild()
	}
}

// update reports whether the answer changes anything. The caller holds shared.mu.
func (s *Set) update(a Answer) bool {
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

// Resolved is Update with the endpoints of one name. Without endpoints it does nothing.
func (s *Set) Resolved(name config.Address, found []Endpoint) {
	if len(found) > 0 {
		s.Update(Answer{name, found})
	}
}

// Unknown is Update with one name that has no endpoints.
func (s *Set) Unknown(name config.Address) { s.Update(Answer{Name: name}) }

// rebuild makes a new rotation and activates it if the set is active. The caller holds shared.mu.
func (s *Set) rebuild() {
	s.makeRotation()
	if s.shared.active.Load().set == s {
		s.shared.activate(s.rotation.Load())
	}
}

// ordered returns the endpoints that can be targets, each address once, in an order that does not depend on that of
// found.
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
