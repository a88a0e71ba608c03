package resolve

import (
	"net/netip"
	"strings"
)

// hostTable is a parsed hosts(5): the addresses by name, in lower case without a dot at its end.
type hostTable map[string][]netip.Addr

func parseHosts(text string) hostTable {
	table := hostTable{}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		ip, err := netip.ParseAddr(fields[0])
		if err != nil {
			continue
		}
		for _, name := range fields[1:] {
			name = normalize(name)
			table[name] = append(table[name], ip.Unmap())
		}
	}
	return table
}

// lookUp returns the sorted addresses of a name, or none. If the file does not have them, "localhost" and names below it
// are the loopback addresses, and no server is asked (RFC 6761, section 6.3).
func (t hostTable) lookUp(name string) []netip.Addr {
	name = normalize(name)
	found := append([]netip.Addr(nil), t[name]...)
	if len(found) == 0 && (name == "localhost" || strings.HasSuffix(name, ".localhost")) {
		found = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	}
	return sortUnique(found)
}

// normalize returns a name in lower case without the dot at its end.
func normalize(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
