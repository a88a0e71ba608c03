package config

import "net/netip"

// sourceAddress decodes an IP address; "" is the zero Addr.
func (d *decoder) sourceAddress(n node, into *netip.Addr) {
	s, ok := d.string(n)
	if !ok {
		return
	}
	if s == "" {
		*into = netip.Addr{}
		return
	}
	ip, err := netip.ParseAddr(s)
	if err != nil {
		d.report(n, `%s is not an IP address: it can be %s`, quote(s), sourceForms)
		return
	}
	ip, err = canonical(ip)
	switch {
	case err != nil:
		d.report(n, "%v", err)
	case ip.IsUnspecified():
		d.report(n, `%s is every address: write "" to let the kernel choose one`, quote(s))
	case ip.IsMulticast() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		d.report(n, "%s is not the address of one machine, and cannot be a source address", quote(s))
	default:
		if err := requireZone(ip, ip.WithZone(exampleZone).String()); err != nil {
			d.report(n, "%v", err)
			return
		}
		*into = ip
	}
}

const sourceForms = `"10.0.0.1", "fd00::1" or ""`
