package config

import (
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
