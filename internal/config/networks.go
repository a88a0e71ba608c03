package config

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"strings"
)

// Networks is a list of networks. It is comparable; the zero value is the empty list.
type Networks struct {
	text string // the prefixes, masked, in their order, separated by spaces
}

// NetworksOf makes a list of networks; bits beyond a prefix are dropped.
func NetworksOf(prefixes ...netip.Prefix) Networks {
	texts := make([]string, len(prefixes))
	for i, p := range prefixes {
		texts[i] = p.Masked().String()
	}
	return Networks{strings.Join(texts, " ")}
}

// Empty reports whether there is none.
func (n Networks) Empty() bool { return n.text == "" }

// Prefixes gives the networks.
func (n Networks) Prefixes() []netip.Prefix {
	var prefixes []netip.Prefix
	for text := range strings.FieldsSeq(n.text) {
		prefixes = append(prefixes, netip.MustParsePrefix(text))
	}
	return prefixes
}

// networks decodes a list of networks; the rule says how many there may be.
func (d *decoder) networks(n node, into *Networks, r rule) {
	elements, ok := d.array(n, int(r.high), "networks")
	if !ok {
		return
	}
	if int64(len(elements)) < r.low {
		d.wrong(n, "must have at least one network")
	}
	prefixes := make([]netip.Prefix, 0, len(elements))
	for _, e := range elements {
		s, ok := d.string(e)
		if !ok {
			continue
		}
		prefix, err := parseNetwork(s)
		if err != nil {
			d.wrong(e, "%v", err)
			continue
		}
		prefixes = append(prefixes, prefix)
	}
	*into = NetworksOf(prefixes...)
}

const networkForms = `"10.0.0.0/8", "fd00::/8" or one address, "10.0.0.1"`

// parseNetwork parses a network. One address is the network of nobody else.
func parseNetwork(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if ip, ipErr := netip.ParseAddr(s); ipErr == nil && ip.Zone() == "" {
		p, err = netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	switch {
	case err != nil:
		return p, explainNetwork(s)
	case p.Addr().Is4In6() && p.Bits() >= 96:
		meant := netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		return p, fmt.Errorf("%s is IPv4 written as IPv6: did you mean %q?", quote(s), networkText(meant))
	case p != p.Masked():
		return p, fmt.Errorf("%s has bits beyond its prefix: did you mean %q?", quote(s), networkText(p))
	}
	return p, nil
}

// networkText gives a network without the bits beyond its prefix, and one address alone.
func networkText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.Masked().String()
}

// explainNetwork says why s is not a network.
func explainNetwork(s string) error {
	address, tail, _ := strings.Cut(s, "/")
	ip, err := netip.ParseAddr(unbracketed(address))
	switch ones, isMask := maskLength(tail); {
	case err != nil:
		return fmt.Errorf("%s is not a network: it can be %s", quote(s), networkForms)
	case ip.Zone() != "":
		return fmt.Errorf("a network has no zone: %s", quote(s))
	case address != unbracketed(address):
		return fmt.Errorf("an IPv6 network has no brackets: %s", quote(s))
	case ip.Is4() && isMask:
		return fmt.Errorf("a network takes a prefix length, not a mask: did you mean %q?", networkText(netip.PrefixFrom(ip, ones)))
	default:
		return fmt.Errorf("the prefix of %s has 0 to %d bits, not %s", quote(address), ip.BitLen(), quote(tail))
	}
}

// maskLength gives the length of the prefix that a mask such as 255.0.0.0 stands for.
func maskLength(mask string) (int, bool) {
	ip, err := netip.ParseAddr(mask)
	if err != nil || !ip.Is4() {
		return 0, false
	}
	octets := ip.As4()
	set := binary.BigEndian.Uint32(octets[:])
	ones := bits.LeadingZeros32(^set)
	return ones, set<<ones == 0
}
