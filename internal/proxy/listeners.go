package proxy

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/linux"
)

// listener is a socket that an app listens on, or will.
type listener struct {
	app     int    // its index
	port    string // as the configuration gives it
	at      netip.AddrPort
	only6   bool   // "::" is every address of IPv6, and none of IPv4 (ipv6(7), IPV6_V6ONLY)
	path    string // of a unix socket; at is not valid then
	resolve place  // where the path leads
}

// listeners tells which apps a connection from this machine would reach.
type listeners struct {
	byPort map[uint16][]listener
	unix   []listener
	own    ownAddresses
}

// newListeners gives the listeners of apps, whose ports may be served by inherited sockets.
func newListeners(apps []config.App, inherited []Inherited) *listeners {
	l := &listeners{byPort: map[uint16][]listener{}}
	for i, a := range apps {
		for _, p := range a.Ports {
			l.add(i, p, inherited)
		}
	}
	return l
}

func (l *listeners) add(app int, p config.Port, inherited []Inherited) {
	x := listener{app: app, port: p.String()}
	served := false
	for _, i := range inherited {
		if !i.serves(p) {
			continue
		}
		served = true
		switch at := i.Listener.Addr().(type) {
		case *net.TCPAddr:
			x.at, x.only6 = at.AddrPort(), onlyIPv6(i.Listener)
			l.byPort[x.at.Port()] = append(l.byPort[x.at.Port()], x)
		case *net.UnixAddr:
			x.path = at.Name
			l.unix = append(l.unix, x)
		}
	}
	switch {
	case served:
	case p.Network == "tcp":
		x.at = p.Addr
		l.byPort[x.at.Port()] = append(l.byPort[x.at.Port()], x)
	case p.Network == "unix":
		x.path = p.Path
		l.unix = append(l.unix, x)
	}
}

// onlyIPv6 reports whether a TCP socket takes no connection over IPv4. One of IPv4 has no such option.
func onlyIPv6(l net.Listener) bool {
	only := 0
	err := linux.Control(l, func(fd int) (err error) {
		only, err = unix.GetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
		return err
	})
	return err == nil && only != 0
}

// refresh reads what changes while a proxy runs: the addresses of this machine, and where paths lead.
func (l *listeners) refresh() {
	l.own = readOwnAddresses(l.own)
	for i := range l.unix {
		l.unix[i].resolve = placeOf(l.unix[i].path)
	}
}

// reached gives the listener that a connection to a target would come to: to a TCP address, or to a path.
func (l *listeners) reached(addr netip.AddrPort, path string) (listener, bool) {
	if path != "" {
		if len(l.unix) == 0 {
			return listener{}, false
		}
		to := placeOf(path)
		for _, x := range l.unix {
			if x.resolve.same(to) {
				return x, true
			}
		}
		return listener{}, false
	}
	for _, x := range l.byPort[addr.Port()] {
		if l.takes(x, addr.Addr().Unmap()) {
			return x, true
		}
	}
	return listener{}, false
}

// takes reports whether a TCP listener has the connections from this machine to an address.
func (l *listeners) takes(x listener, to netip.Addr) bool {
	switch at := x.at.Addr().Unmap(); {
	case !at.IsValid() || at == netip.IPv6Unspecified():
		return l.own.has(to) && !(x.only6 && to.Is4())
	case at == netip.IPv4Unspecified():
		return to.Is4() && l.own.has(to)
	case at.Zone() == "" || to.Zone() == "":
		return at.WithZone("") == to.WithZone("")
	default:
		return at == to
	}
}

// ownAddresses are those of this machine's interfaces, without zones.
type ownAddresses map[netip.Addr]bool

// readOwnAddresses reads them. If that fails, those of before stay.
func readOwnAddresses(before ownAddresses) ownAddresses {
	found, err := net.InterfaceAddrs()
	if err != nil {
		return before
	}
	own := make(ownAddresses, len(found))
	for _, a := range found {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				own[ip.Unmap()] = true
			}
		}
	}
	return own
}

// has reports whether an address is one of this machine: all of 127.0.0.0/8 is (RFC 1122, 3.2.1.3).
func (o ownAddresses) has(ip netip.Addr) bool { return ip.IsLoopback() || o[ip.WithZone("")] }

// place is where a path leads, through symbolic links, and the file that is there, if there is one.
type place struct {
	path string
	file os.FileInfo
}

func placeOf(path string) place {
	p := place{path: filepath.Clean(path)}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		p.path = real
		p.file, _ = os.Stat(real) // or it has gone in between
	} else if folder, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		p.path = filepath.Join(folder, filepath.Base(path)) // the socket is still to come
	}
	return p
}

// same reports whether two paths lead to one place: by the same name, or, through a hard link or a mount, to one file.
func (p place) same(other place) bool {
	return p.path == other.path || p.file != nil && other.file != nil && os.SameFile(p.file, other.file)
}
