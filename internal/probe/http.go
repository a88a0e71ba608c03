package probe

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// appendGet appends the request.
func (c *check) appendGet(to []byte) []byte {
	to = append(to, "GET "...)
	to = append(to, c.group.config.HTTP.Path...)
	to = append(to, " HTTP/1.1\r\nHost: "...)
	to = append(to, c.host()...)
	return append(to, "\r\nUser-Agent: tcp-proxy\r\nAccept: */*\r\nConnection: close\r\n\r\n"...)
}

// host is the target as the configuration gives it, with the port that is asked. SRV records have names that are no
// hosts: there it is the address.
func (c *check) host() string {
	address := c.target.Address
	switch address.Network {
	case "unix":
		return "localhost"
	case "srv":
		return withoutZone(c.destination()).String()
	}
	host := address.Host
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.WithZone("").String()
	}
	return net.JoinHostPort(host, strconv.Itoa(int(c.destination().Port())))
}

// A zone means nothing to another machine: RFC 6874, section 4.
func withoutZone(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().WithZone(""), a.Port())
}

// parseStatus judges the status line, of which nothing after the number matters: RFC 9112, section 4.
func (c *check) parseStatus() (known bool, err error) {
	const form = "HTTP/1.x nnn "
	line := string(c.begin[:min(c.read, len(form))])
	for i := range len(line) {
		ok := line[i] == form[i]
		switch form[i] {
		case 'x', 'n':
			ok = '0' <= line[i] && line[i] <= '9'
		}
		if i == len(form)-1 {
			ok = strings.IndexByte(" \r\n", line[i]) >= 0
		}
		if !ok {
			return true, fmt.Errorf("the answer begins with %s, which is not HTTP", c.said())
		}
	}
	if len(line) < len(form) {
		return false, nil
	}
	status, _ := strconv.Atoi(line[9:12]) // three digits
	switch want := c.group.config.HTTP; {
	case want.Low <= status && status <= want.High:
		return true, nil
	case want.Low == want.High:
		return true, fmt.Errorf("HTTP status %d, not %d", status, want.Low)
	default:
		return true, fmt.Errorf("HTTP status %d, not one from %d to %d", status, want.Low, want.High)
	}
}
