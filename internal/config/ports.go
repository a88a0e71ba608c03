package config

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/tailscale/hujson"
)

// portRange is one element of "ports": a Port, or one for each number from first to last.
type portRange struct {
	first   Port
	last    uint16 // tcp
	element int    // its index in "ports"
	at      node   // its value in the file
	app     *app   // nil: the admin API
}

// size returns the number of ports in the range.
func (r portRange) size() int {
	if r.first.Network != "tcp" {
		return 1
	}
	return int(r.last) - int(r.first.Addr.Port()) + 1
}

// port returns the port at index i of the range.
func (r portRange) port(i int) Port {
	p := r.first
	if p.Network == "tcp" {
		p.Addr = netip.AddrPortFrom(p.Addr.Addr(), p.Addr.Port()+uint16(i))
	}
	return p
}

func (r portRange) String() string {
	if r.size() == 1 {
		return r.first.String()
	}
	return fmt.Sprintf("%v-%d", r.first, r.last)
}

// ofApp returns text that names the app of the range, if it differs from that of another range.
func (r *portRange) ofApp(another *portRange) string {
	if r.app == nil || r.app == another.app || r.app.Name == "" {
		return ""
	}
	return fmt.Sprintf(" of app %q", r.app.Name)
}

// expand returns all ports of the ranges, and for each its element of "ports".
func expand(ranges []portRange) (ports []Port, elements []int) {
	n := 0
	for _, r := range ranges {
		n += r.size()
	}
	ports, elements = make([]Port, 0, n), make([]int, 0, n)
	for _, r := range ranges {
		for i := range r.size() {
			ports, elements = append(ports, r.port(i)), append(elements, r.element)
		}
	}
	return ports, elements
}

// ports decodes the valid elements of n.
func (d *decoder) ports(n node) []portRange {
	elements, ok := d.array(n, maxSockets, "ports")
	if !ok {
		return nil
	}
	if len(elements) == 0 {
		d.report(n, "must have at least one port")
	}
	ranges := make([]portRange, 0, len(elements))
	for i, e := range elements {
		r, err := parsePortElement(e)
		if err != nil {
			d.report(e, "%v", err)
			continue
		}
		r.element, r.at = i, e
		ranges = append(ranges, r)
	}
	return ranges
}

func parsePortElement(n node) (portRange, error) {
	switch kindOf(n) {
	case "a number":
		number := string(n.Value.Value.(hujson.Literal))
		port, ok := portNumber(number)
		if !ok {
			return portRange{}, fmt.Errorf("must be a whole number from 1 to 65535, not %s", shorten(number))
		}
		return portRange{first: Port{Network: "tcp", Addr: netip.AddrPortFrom(netip.Addr{}, port)}, last: port}, nil
	case "a string":
		return parsePort(text(n.Value))
	default:
		return portRange{}, fmt.Errorf("must be a number or a string, not %s", kindOf(n))
	}
}

const portForms = `5001, "5200-5210", "127.0.0.1:5300", "[::1]:5400", "unix:/run/web.sock" or "systemd:web"`

// parsePort parses the string form of an element of "ports".
func parsePort(s string) (portRange, error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		return portRange{first: Port{Network: "unix", Path: path}}, checkPath(path)
	}
	if name, ok := strings.CutPrefix(s, "systemd:"); ok {
		return portRange{first: Port{Network: "systemd", Path: name}}, checkSocketName(name)
	}
	if err := checkComplete(s, 5001); err != nil {
		return portRange{}, err
	}
	if err := refuseURL(s, func(s string) error { _, err := parsePort(s); return err }); err != nil {
		return portRange{}, err
	}
	host, tail := "", s
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		host, tail = s[:i], s[i+1:]
	}
	low, high, isRange := strings.Cut(tail, "-")
	if !isRange {
		high = low
	}
	if !numbers.MatchString(tail) {
		return portRange{}, fmt.Errorf("%s is not a port: it can be %s", quote(s), portForms)
	}
	first, ok := portNumber(low)
	last, ok2 := portNumber(high)
	switch {
	case !ok || !ok2:
		return portRange{}, fmt.Errorf("port numbers are 1 to 65535 without leading zeros, not %s", quote(tail))
	case first > last:
		return portRange{}, fmt.Errorf("a range must ascend, as in %s", quote(high+"-"+low))
	}
	ip, err := listenAddress(host)
	if err == nil {
		err = requireZone(ip, "["+ip.WithZone(exampleZone).String()+"]:"+tail)
	}
	if err != nil {
		return portRange{}, err
	}
	return portRange{first: Port{Network: "tcp", Addr: netip.AddrPortFrom(ip, first)}, last: last}, nil
}

var (
	digits  = regexp.MustCompile(`^[0-9]+$`)
	numbers = regexp.MustCompile(`^[0-9]+(-[0-9]+)?$`)
)

// portNumber parses a port number as JSON has numbers: without a sign and leading zeros.
func portNumber(s string) (uint16, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil && s[0] != '0'
}

// checkComplete returns an error with a hint if s is an IP address without a port, or an IPv6 address without brackets.
func checkComplete(s string, port uint16) error {
	if i := strings.LastIndexByte(s, ':'); i >= 0 && numbers.MatchString(s[i+1:]) {
		if ip, err := netip.ParseAddr(s[:i]); err == nil && ip.Is6() {
			return fmt.Errorf("an IPv6 address needs brackets: write %s", quote("["+s[:i]+"]"+s[i:]))
		}
	}
	if ip, err := netip.ParseAddr(trimBrackets(s)); err == nil {
		return fmt.Errorf("%s has no port: write %s", quote(s), quote(netip.AddrPortFrom(ip, port).String()))
	}
	return nil
}

// trimBrackets removes a pair of brackets around s.
func trimBrackets(s string) string {
	inner, opened := strings.CutPrefix(s, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	if opened && closed {
		return inner
	}
	return s
}

// parseIP parses an IPv4 address, or an IPv6 address in brackets; checkComplete has refused IPv6 without brackets. A host
// that is neither, but could be a name, returns the zero Addr without an error.
func parseIP(host string) (netip.Addr, error) {
	inner := trimBrackets(host)
	bracketed := inner != host
	ip, err := netip.ParseAddr(inner)
	switch {
	case bracketed && (err != nil || !ip.Is6()):
		return netip.Addr{}, fmt.Errorf("%s is not an IPv6 address in brackets", quote(host))
	case err != nil:
		return netip.Addr{}, nil
	default:
		return canonical(ip)
	}
}

// listenAddress parses the address before a port number; "" is every address, and returns the zero Addr.
func listenAddress(host string) (netip.Addr, error) {
	if host == "" {
		return netip.Addr{}, nil
	}
	ip, err := parseIP(host)
	switch {
	case err != nil || ip.IsValid():
		return ip, err
	case checkHost(host) == nil:
		return ip, fmt.Errorf(`%s is a host name: a port listens on an IP address, such as "127.0.0.1:5001"`, quote(host))
	default:
		return ip, fmt.Errorf("%s is not an IP address: a port can be %s", quote(host), portForms)
	}
}

// canonical returns the canonical form of an address: an IPv4-mapped IPv6 address becomes IPv4. A zone is the network
// interface of a link-local address (RFC 4007), so no other address may have one.
func canonical(ip netip.Addr) (netip.Addr, error) {
	const longest = 15 // bytes: IFNAMSIZ of netdevice(7) without the zero at the end
	if len(ip.Zone()) > longest || strings.ContainsAny(ip.Zone(), "[]/: ") || strings.ContainsFunc(ip.Zone(), isControl) {
		return netip.Addr{}, fmt.Errorf("%s is not the name of a network interface", quote(ip.Zone()))
	}
	if ip.Zone() != "" && (ip.Is4In6() || !ip.IsLinkLocalUnicast()) {
		return netip.Addr{}, fmt.Errorf("only a link-local address (fe80::/10) can have a zone, not %s", quote(ip.String()))
	}
	return ip.Unmap(), nil
}

// checkPath returns why a unix socket cannot have a path: unix(7) has 108 bytes for it, including a zero at the end.
func checkPath(path string) error {
	const longest = 107
	switch {
	case !strings.HasPrefix(path, "/"):
		return fmt.Errorf(`the path of a unix socket must be absolute, as in "unix:/run/web.sock", not %s`, quote(path))
	case strings.HasSuffix(path, "/"):
		return fmt.Errorf("the path of a unix socket must name a file, not a directory: %s", quote(path))
	case strings.ContainsFunc(path, isControl):
		return fmt.Errorf("the path of a unix socket cannot have a control character: %s", quote(path))
	case len(path) > longest:
		return fmt.Errorf("the path of a unix socket must be at most %d bytes long: %s has %d", longest, quote(path), len(path))
	}
	return nil
}

// isControl reports whether a character would break a line of a log.
func isControl(r rune) bool {
	return r < ' ' || r == 0x7f
}

var socketName = regexp.MustCompile(`^` + socketNamePattern + `$`)

// checkSocketName returns why a socket from systemd cannot have a name (systemd.socket(5): FileDescriptorName=).
func checkSocketName(name string) error {
	if !socketName.MatchString(name) {
		return fmt.Errorf("%s is not a name of sockets from systemd: it has 1 to 255 ASCII characters, "+
			"none of them a colon or a control character", quote(name))
	}
	return nil
}

// shorten shortens a long number.
func shorten(number string) string {
	if len(number) > 40 {
		return number[:39] + "…"
	}
	return number
}
