package config

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"strings"
)

// Networks is a list of networks. It is comparable; the zero value is empty.
type Networks struct {
	text string // the masked prefixes in order, separated by spaces
}

// NetworksOf returns a list of networks. Bits beyond a prefix are cleared.
func NetworksOf(prefixes ...netip.Prefix) Networks {
	texts := make([]string, len(prefixes))
	for i, p := range prefixes {
		texts[i] = p.Masked().String()
	}
	return Networks{strings.Join(texts, " ")}
}

// Empty reports whether the list is empty.
func (n Networks) Empty() bool { return n.text == "" }

// Prefixes returns the networks.
func (n Networks) Prefixes() []netip.Prefix {
	var prefixes []netip.Prefix
	for text := range strings.FieldsSeq(n.text) {
		prefixes = append(prefixes, netip.MustParsePrefix(text))
	}
	return prefixes
}

// networks decodes a list of networks; the rule has the limits of their number.
func (d *decoder) networks(n node, into *Networks, r rule) {
	elements, ok := d.array(n, int(r.high), "networks")
	if !ok {
		return
	}
	if int64(len(elements)) < r.low {
		d.report(n, "must have at least one network")
	}
	prefixes := make([]netip.Prefix, 0, len(elements))
	for _, e := range elements {
		s, ok := d.string(e)
		if !ok {
			continue
		}
		prefix, err := parseNetwork(s)
		if err != nil {
			d.report(e, "%v", err)
			continue
		}
		prefixes = append(prefixes, prefix)
	}
	*into = NetworksOf(prefixes...)
}

const networkForms = `"10.0.0.0/8", "fd00::/8" or one address, "10.0.0.1"`

// parseNetwork parses a network; a single address is one, too.
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

// networkText formats a network with the bits beyond its prefix cleared, and a single address without a prefix length.
func networkText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.Masked().String()
}

// explainNetwork returns why s is not a network.
func explainNetwork(s string) error {
	address, tail, _ := strings.Cut(s, "/")
	ip, err := netip.ParseAddr(trimBrackets(address))
	switch ones, isMask := maskLength(tail); {
	case err != nil:
		return fmt.Errorf("%s is not a network: it can be %s", quote(s), networkForms)
	case ip.Zone() != "":
		return fmt.Errorf("a network has no zone: %s", quote(s))
	case address != trimBrackets(address):
		return fmt.Errorf("an IPv6 network has no brackets: %s", quote(s))
	case ip.Is4() && isMask:
		return fmt.Errorf("a network takes a prefix length, not a mask: did you mean %q?", networkText(netip.PrefixFrom(ip, ones)))
	default:
		return fmt.Errorf("the prefix of %s has 0 to %d bits, not %s", quote(address), ip.BitLen(), quote(tail))
	}
}

// maskLength returns the prefix length of a mask such as 255.0.0.0.
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
