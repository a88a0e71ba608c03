package config

import (
	"net/netip"
	"path"
)

// sockets records which element of "ports" has which listening socket. On Linux, a socket that listens on every address
// conflicts with all others of its port number, of its family or of both.
type sockets struct {
	paths  map[string]*portRange // of unix sockets
	names  map[string]*portRange // of sockets from systemd
	exact  map[netip.AddrPort]*portRange
	byPort map[uint16]*portOwners
}

// portOwners records who listens on a port number; nil is nobody.
type portOwners struct {
	every     *portRange // on every address, IPv4 and IPv6
	everyIPv4 *portRange // on every IPv4 address
	ipv4      *portRange // the first one on any IPv4 address
	all       *portRange // the first one on any address
}

func newSockets() *sockets {
	return &sockets{map[string]*portRange{}, map[string]*portRange{}, map[netip.AddrPort]*portRange{}, map[uint16]*portOwners{}}
}

// take assigns the free sockets of o to it, and returns the owner of the first one that is not free, or nil.
func (s *sockets) take(o *portRange) (other *portRange) {
	switch o.first.Network {
	case "unix":
		return claim(s.paths, path.Clean(o.first.Path), o)
	case "systemd":
		return claim(s.names, o.first.Path, o)
	}
	for i := range o.size() {
		at := o.port(i).Addr
		switch holder := s.holder(at); {
		case holder == nil:
			s.put(at, o)
		case other == nil:
			other = holder
		}
	}
	return other
}

// claim assigns the key to o, unless another has it; then it returns the other.
func claim(owners map[string]*portRange, key string, o *portRange) (other *portRange) {
	if other = owners[key]; other == nil {
		owners[key] = o
	}
	return other
}

// holder returns the owner that conflicts with listening on at, or nil.
func (s *sockets) holder(at netip.AddrPort) *portRange {
	n := s.byPort[at.Port()]
	switch ip := at.Addr(); {
	case n == nil:
		return nil
	case n.every != nil:
		return n.every
	case everyAddress(ip):
		return n.all
	case ip.Is4() && n.everyIPv4 != nil:
		return n.everyIPv4
	case ip == netip.IPv4Unspecified():
		return n.ipv4
	default:
		return s.exact[at]
	}
}

// put records that o listens on at, which is free.
func (s *sockets) put(at netip.AddrPort, o *portRange) {
	n := s.byPort[at.Port()]
	if n == nil {
		n = &portOwners{}
		s.byPort[at.Port()] = n
	}
	if n.all == nil {
		n.all = o
	}
	ip := at.Addr()
	if ip.Is4() && n.ipv4 == nil {
		n.ipv4 = o
	}
	switch {
	case everyAddress(ip):
		n.every = o
	case ip == netip.IPv4Unspecified():
		n.everyIPv4 = o
	default:
		s.exact[at] = o
	}
}

// everyAddress reports whether listening on ip includes both families. "[::]" does, because IPV6_V6ONLY is off by default
// (ipv6(7)).
func everyAddress(ip netip.Addr) bool {
	return !ip.IsValid() || ip == netip.IPv6Unspecified()
}
