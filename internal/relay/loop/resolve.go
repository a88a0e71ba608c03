package loop

import (
	"context"
	"net"
	"net/netip"
)

// lookUp gives the addresses of a target's host: a name, or an IPv6 address with a zone. There is at least one, or an
// error.
func lookUp(ctx context.Context, host string, port uint16) ([]netip.AddrPort, error) {
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	addresses := make([]netip.AddrPort, len(ips))
	for i, ip := range ips {
		addresses[i] = netip.AddrPortFrom(ip.Unmap(), port)
	}
	return addresses, nil
}
