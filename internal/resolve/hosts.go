package resolve

import (
	"net/netip"
	"strings"
)

// hostTable is what hosts(5) says: the addresses of a name, which is in lower case and has no dot at its end.
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
			name = bare(name)
			table[name] = append(table[name], ip.Unmap())
		}
	}
	return table
}

// lookUp returns the addresses of a name, sorted; none if the file does not have it. "localhost" and what ends in
// ".localhost" are the loopback addresses then, and no server is asked (RFC 6761, section 6.3).
func (t hostTable) lookUp(name string) []netip.Addr {
	name = bare(name)
	found := append([]netip.Addr(nil), t[name]...)
	if len(found) == 0 && (name == "localhost" || strings.HasSuffix(name, ".localhost")) {
		found = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	}
	return tidy(found)
}

// bare is a name in lower case without the dot at its end.
func bare(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
