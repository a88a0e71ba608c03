package target

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

// Resolved gives the endpoints that a name has now, at least one. Those that it had before keep what is known of them;
// those that it has no more take no new sessions. Endpoints to which no connection can go (config.CheckEndpoint) are left
// out. If that leaves none, the ones that the name had before stay.
func (s *Set) Resolved(name config.Address, found []Endpoint) {
	given := len(found)
	if found = ordered(found); len(found) == 0 && given > 0 {
		s.Unknown(name)
		return
	}
	s.line.mu.Lock()
	defer s.line.mu.Unlock()
	if len(found) == 0 || slices.Equal(s.answers[name], found) || !slices.Contains(s.Names(), name) {
		return
	}
	s.answers[name] = found
	delete(s.unknown, name)
	s.remake()
}

// Unknown says that a name was looked up and has no address. Sessions do not wait for it then. What is known of it from
// before stays.
func (s *Set) Unknown(name config.Address) {
	s.line.mu.Lock()
	defer s.line.mu.Unlock()
	if !s.unknown[name] && s.answers[name] == nil {
		s.unknown[name] = true
		s.remake()
	}
}

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
