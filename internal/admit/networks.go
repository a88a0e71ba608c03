package admit

import (
	"net/netip"
	"slices"
)

// Networks is a set of networks, which is immutable and quick to search. The zero value is empty.
type Networks struct {
	ranges []addressRange // sorted, with a gap between each two
}

// addressRange is the addresses of one family from first to last, both included.
type addressRange struct{ first, last netip.Addr }

// NewNetworks makes a set of networks, which may overlap.
func NewNetworks(prefixes []netip.Prefix) Networks {
	all := make([]addressRange, len(prefixes))
	for i, p := range prefixes {
		all[i] = addressRange{p.Masked().Addr(), lastOf(p)}
	}
	slices.SortFunc(all, func(a, b addressRange) int { return a.first.Compare(b.first) })
	var ranges []addressRange
	for _, next := range all {
		if n := len(ranges); n > 0 && !gap(ranges[n-1].last, next.first) {
			if ranges[n-1].last.Less(next.last) {
				ranges[n-1].last = next.last
			}
			continue
		}
		ranges = append(ranges, next)
	}
	return Networks{slices.Clip(ranges)}
}

// Empty reports whether no address is in the set.
func (n Networks) Empty() bool { return len(n.ranges) == 0 }

// Contains reports whether an address is in one of the networks. An IPv4-mapped IPv6 address counts as IPv4; the zone is
// ignored.
func (n Networks) Contains(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	i, found := slices.BinarySearchFunc(n.ranges, a, func(r addressRange, a netip.Addr) int { return r.first.Compare(a) })
	return found || i > 0 && !n.ranges[i-1].last.Less(a)
}

// gap reports whether there is an address between the two, or they are of different families.
func gap(last, first netip.Addr) bool {
	return last.BitLen() != first.BitLen() || last.Less(first) && last.Next() != first
}

// lastOf returns the last address of a network.
func lastOf(p netip.Prefix) netip.Addr {
	bytes := p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < 8*len(bytes); bit++ {
		bytes[bit/8] |= 0x80 >> (bit % 8)
	}
	last, _ := netip.AddrFromSlice(bytes)
	return last
}
