package config

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/tailscale/hujson"
)

// maxAdmin is the maximum number of addresses of the admin API.
const maxAdmin = 16

// adminSocket is one element of admin.listen: a portRange of one port, with an address.
type adminSocket struct {
	portRange
}

// config converts "admin" of the file.
func (a admin) config() Admin {
	var c Admin
	for _, s := range a.Listen {
		c.Listen = append(c.Listen, AdminAddress(s.first))
	}
	return c
}

// adminSockets decodes the valid elements of n.
func (d *decoder) adminSockets(n node) []adminSocket {
	elements, ok := d.array(n, maxAdmin, "addresses")
	if !ok {
		return nil
	}
	sockets := make([]adminSocket, 0, len(elements))
	for i, e := range elements {
		r, err := parseAdminElement(e)
		if err != nil {
			d.report(e, "%v", err)
			continue
		}
		r.element, r.at = i, e
		sockets = append(sockets, adminSocket{r})
	}
	return sockets
}

func parseAdminElement(n node) (portRange, error) {
	switch kindOf(n) {
	case "a number":
		return portRange{}, errPortAlone(shorten(string(n.Value.Value.(hujson.Literal))))
	case "a string":
		return parseAdmin(text(n.Value))
	default:
		return portRange{}, fmt.Errorf("must be a string, not %s", kindOf(n))
	}
}

const adminForms = `"unix:/run/tcp-proxy/admin.sock", "127.0.0.1:9901" or "[::1]:9901"`

// parseAdmin parses the string form of an element of admin.listen.
func parseAdmin(s string) (portRange, error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		return portRange{first: Port{Network: "unix", Path: path}}, checkPath(path)
	}
	if err := checkComplete(s, 9901); err != nil {
		return portRange{}, err
	}
	colon := strings.LastIndexByte(s, ':')
	number := s[colon+1:]
	switch {
	case digits.MatchString(number) && colon <= 0:
		return portRange{}, errPortAlone(number)
	case !digits.MatchString(number) || colon < 0:
		return portRange{}, fmt.Errorf("%s is not an address for the admin API: it can be %s", quote(s), adminForms)
	}
	port, ok := portNumber(number)
	if !ok {
		return portRange{}, fmt.Errorf("port numbers are 1 to 65535 without leading zeros, not %s", quote(number))
	}
	ip, err := parseIP(s[:colon])
	if err == nil && !ip.IsValid() {
		err = fmt.Errorf("%s is not an IP address: the admin API can listen on %s", quote(s[:colon]), adminForms)
	}
	if err == nil {
		err = requireZone(ip, netip.AddrPortFrom(ip.WithZone(exampleZone), port).String())
	}
	return portRange{first: Port{Network: "tcp", Addr: netip.AddrPortFrom(ip, port)}, last: port}, err
}

// errPortAlone is the error for a port number without an address, which would open the API to everyone.
func errPortAlone(number string) error {
	return fmt.Errorf("a port alone would be open to every address: name one, as in %s", quote("127.0.0.1:"+number))
}
