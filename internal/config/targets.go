package config

import (
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"strings"
)

// targets decodes the valid elements of n.
func (d *decoder) targets(n node) []Target {
	elements, ok := d.array(n, maxTargets, "targets")
	if !ok {
		return nil
	}
	if len(elements) == 0 {
		d.report(n, "must have at least one target")
	}
	targets := make([]Target, 0, len(elements))
	seen := make(map[Address]node, len(elements))
	for _, e := range elements {
		t, ok := d.target(e)
		if !ok {
			continue
		}
		if first, ok := seen[t.Address.key()]; ok {
			d.report(e, `%v is already a target, %v: to give it more sessions, set a "weight"`,
				t.Address, d.refer(first, e))
			continue
		}
		seen[t.Address.key()] = e
		targets = append(targets, t)
	}
	return targets
}

// target decodes an address or an object. It returns false if the address is missing or invalid.
func (d *decoder) target(n node) (Target, bool) {
	t := DefaultTarget()
	switch kindOf(n) {
	case "a string":
		d.address(n, &t.Address)
	case "an object":
		if given, _ := d.object(n, &t); !has(given, "address") {
			d.report(n, `has no "address"%s`, addressHint(n))
		}
	default:
		d.reportType(n, "a string or an object")
	}
	return t, t.Address != Address{}
}

func (d *decoder) address(n node, a *Address) {
	s, ok := d.string(n)
	if !ok {
		return
	}
	parsed, err := parseAddress(s)
	if err != nil {
		d.report(n, "%v", err)
		return
	}
	*a = parsed
}

// key returns the same value for addresses that differ only in their spelling.
func (a Address) key() Address {
	a.Host = strings.TrimSuffix(strings.ToLower(a.Host), ".")
	if a.Path != "" {
		a.Path = path.Clean(a.Path)
	}
	return a
}

const addressForms = `"10.0.0.1:80", "[::1]:80", "web.internal:80", "unix:/run/app.sock" or "srv:_web._tcp.example.internal"`

// parseAddress parses the address of a target.
func parseAddress(s string) (Address, error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		return Address{Network: "unix", Path: path}, checkPath(path)
	}
	if name, ok := strings.CutPrefix(s, "srv:"); ok {
		return Address{Network: "srv", Host: name}, checkService(name)
	}
	if err := checkComplete(s, 80); err != nil {
		return Address{}, err
	}
	if err := refuseURL(s, func(s string) error { _, err := parseAddress(s); return err }); err != nil {
		return Address{}, err
	}
	colon := strings.LastIndexByte(s, ':')
	switch {
	case colon < 0 && checkHost(s) == nil:
		return Address{}, fmt.Errorf("%s has no port: write %s", quote(s), quote(s+":80"))
	case colon < 0 || !digits.MatchString(s[colon+1:]):
		return Address{}, fmt.Errorf("%s is not a target: it can be %s", quote(s), addressForms)
	}
	port, ok := portNumber(s[colon+1:])
	if !ok {
		return Address{}, fmt.Errorf("port numbers are 1 to 65535 without leading zeros, not %s", quote(s[colon+1:]))
	}
	host, err := targetHost(s[:colon])
	if ip, ipErr := netip.ParseAddr(host); err == nil && ipErr == nil {
		err = CheckEndpoint(netip.AddrPortFrom(ip, port))
	}
	return Address{Network: "tcp", Host: host, Port: port}, err
}

// targetHost returns an IP address in its canonical form, and a name unchanged.
func targetHost(host string) (string, error) {
	ip, err := parseIP(host)
	switch {
	case err != nil:
		return "", err
	case ip.IsValid():
		return ip.String(), nil
	case host == "":
		return "", fmt.Errorf("has a port but no host: it can be %s", addressForms)
	default:
		return host, checkHost(host)
	}
}

// maxHost is the maximum length of a host name, without a dot at its end (RFC 1035, section 2.3.4).
const maxHost = 253

var hostLabel = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?$`)

// checkHost returns why host is not a host name by RFC 1123, section 2.1, with underscores allowed. A name whose last label
// is a number is an invalid IPv4 address.
func checkHost(host string) error {
	bare := strings.TrimSuffix(host, ".")
	if len(bare) > maxHost {
		return fmt.Errorf("a host name has at most %d characters, not %d", maxHost, len(bare))
	}
	labels := strings.Split(bare, ".")
	for _, label := range labels {
		if len(label) > 63 || !hostLabel.MatchString(label) {
			return fmt.Errorf("%s is neither an IP address nor a host name", quote(host))
		}
	}
	if digits.MatchString(labels[len(labels)-1]) {
		return fmt.Errorf("%s is not an IPv4 address", quote(host))
	}
	return nil
}

var serviceForm = regexp.MustCompile(`^` + servicePattern + `$`)

// checkService returns why name is not the name of SRV records (RFC 2782): _service._proto.name.
func checkService(name string) error {
	if host, number, ok := strings.Cut(name, ":"); ok && len(name) <= maxHost+len(":65535") && digits.MatchString(number) && checkService(host) == nil {
		return fmt.Errorf("%s has a port, and so has every SRV record: write %s", quote(name), quote("srv:"+host))
	}
	if len(name) > maxHost+1 {
		return checkHost(name)
	}
	if !serviceForm.MatchString(name) {
		return fmt.Errorf(`%s is not a name of SRV records: it has the form "_service._proto.name", as in "srv:_web._tcp.example.internal"`, quote(name))
	}
	return checkHost(name)
}
