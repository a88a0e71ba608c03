package config

import (
	"fmt"
	"net/netip"
)

// CheckEndpoint returns why an address cannot be a target; nil if it can. A connection to 0.0.0.0 or :: reaches this
// machine (connect(2), tcp_v4_connect and tcp_v6_connect in the kernel); multicast and broadcast addresses stand for many
// machines, port 0 for none (RFC 6335, section 6); and a link-local address needs a network interface. An IPv4-mapped IPv6
// address counts as the IPv4 address.
func CheckEndpoint(at netip.AddrPort) error {
	switch ip := at.Addr().Unmap(); {
	case at.Port() == 0:
		return fmt.Errorf("%v cannot be a target: nobody listens on port 0", at)
	case ip.IsUnspecified():
		return fmt.Errorf("%v cannot be a target: it is the unspecified address, and connecting to it reaches the proxy's own machine", at)
	case ip.IsMulticast():
		return fmt.Errorf("%v cannot be a target: it is a multicast address, which stands for many machines", at)
	case ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Errorf("%v cannot be a target: it is the broadcast address, which stands for many machines", at)
	}
	return requireZone(at.Addr(), netip.AddrPortFrom(at.Addr().WithZone(exampleZone), at.Port()).String())
}
