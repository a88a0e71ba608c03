package proxy

import (
	"net"
	"net/netip"
	"path/filepath"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/listen"
)

// listener is a socket that an app listens on, or will listen on.
type listener struct {
	app    int    // its index
	port   string // as in the configuration
	at     netip.AddrPort
	v6Only bool   // "::" does not accept IPv4 (ipv6(7), IPV6_V6ONLY)
	path   string // of a unix socket; at is not valid then
}

// listeners finds the app that a connection from this machine would reach. The time to find it does not grow with the
// number of listeners. Values of the maps are indices in all.
type listeners struct {
	all        []listener
	anyAddress map[uint16][]int       // listeners on a wildcard address, by port
	exact      map[netip.AddrPort]int // listeners on one address: the first of each
	zoneless   map[netip.AddrPort]int // the same without zones
	paths      map[string]int         // unix sockets by path: the first of each
	files      map[file]int           // unix sockets by file
	own        ownAddresses
}

// file identifies the file at a path (stat(2)).
type file struct{ device, inode uint64 }

// newListeners returns the listeners of apps, whose ports may be inherited sockets.
func newListeners(apps []config.App, inherited []listen.Inherited) *listeners {
	l := &listeners{anyAddress: map[uint16][]int{}, exact: map[netip.AddrPort]int{}, zoneless: map[netip.AddrPort]int{}}
	for i, a := range apps {
		for _, p := range a.Ports {
			l.add(i, p, inherited)
		}
	}
	return l
}

func (l *listeners) add(app int, p config.Port, inherited []listen.Inherited) {
	x := listener{app: app, port: p.String()}
	served := false
	for _, i := range inherited {
		if !i.Serves(p) {
			continue
		}
		served = true
		switch at := i.Listener.Addr().(type) {
		case *net.TCPAddr:
			x.at, x.v6Only = at.AddrPort(), onlyIPv6(i.Listener)
			l.addTCP(x)
		case *net.UnixAddr:
			x.path = at.Name
			l.all = append(l.all, x)
		}
	}
	switch {
	case served:
	case p.Network == "tcp":
		x.at = p.Addr
		l.addTCP(x)
	case p.Network == "unix":
		x.path = p.Path
		l.all = append(l.all, x)
	}
}

func (l *listeners) addTCP(x listener) {
	n := len(l.all)
	l.all = append(l.all, x)
	if ip := x.at.Addr(); !ip.IsValid() || ip.Unmap().IsUnspecified() {
		l.anyAddress[x.at.Port()] = append(l.anyAddress[x.at.Port()], n)
		return
	}
	at := netip.AddrPortFrom(x.at.Addr().Unmap(), x.at.Port())
	setFirst(l.exact, at, n)
	setFirst(l.zoneless, withoutZone(at), n)
}

// setFirst sets the value of a key that has none.
func setFirst[K comparable](of map[K]int, key K, n int) {
	if _, taken := of[key]; !taken {
		of[key] = n
	}
}

func withoutZone(at netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(at.Addr().WithZone(""), at.Port())
}

// onlyIPv6 reports whether a TCP socket accepts no IPv4. An IPv4 socket has no such option.
func onlyIPv6(l net.Listener) bool {
	only := 0
	err := linux.Control(l, func(fd int) (err error) {
		only, err = unix.GetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
		return err
	})
	return err == nil && only != 0
}

// refresh reads what changes while a proxy runs: the addresses of this machine, and the files at paths.
func (l *listeners) refresh() {
	l.own = readOwnAddresses(l.own)
	l.paths, l.files = map[string]int{}, map[file]int{}
	for i, x := range l.all {
		if x.path == "" {
			continue
		}
		to := locate(x.path)
		setFirst(l.paths, to.path, i)
		if to.exists {
			setFirst(l.files, to.file, i)
		}
	}
}

// find returns the listener that a connection to a TCP address or to a path would reach. Of several it is the first.
func (l *listeners) find(addr netip.AddrPort, path string) (listener, bool) {
	found := len(l.all)
	candidate := func(n int, ok bool) {
		if ok {
			found = min(found, n)
		}
	}
	if path != "" {
		if len(l.paths) > 0 {
			to := locate(path)
			n, ok := l.paths[to.path]
			candidate(n, ok)
			n, ok = l.files[to.file]
			candidate(n, ok && to.exists)
		}
	} else {
		to := netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
		for _, n := range l.anyAddress[to.Port()] {
			candidate(n, l.accepts(l.all[n], to.Addr()))
		}
		n, ok := l.exact[to]
		candidate(n, ok)
		n, ok = l.exact[withoutZone(to)] // it listens on every link that has the address
		candidate(n, ok)
		n, ok = l.zoneless[to] // the target may be on any link
		candidate(n, ok)
	}
	if found == len(l.all) {
		return listener{}, false
	}
	return l.all[found], true
}

// accepts reports whether a TCP listener on a wildcard address accepts connections from this machine to an address.
func (l *listeners) accepts(x listener, to netip.Addr) bool {
	if x.at.Addr().Unmap() == netip.IPv4Unspecified() {
		return to.Is4() && l.own.has(to)
	}
	return l.own.has(to) && !(x.v6Only && to.Is4())
}

// ownAddresses are the addresses of the interfaces of this machine, without zones.
type ownAddresses map[netip.Addr]bool

// readOwnAddresses reads them. It returns the previous ones if that fails.
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

// has reports whether this machine has the address. It has all of 127.0.0.0/8 (RFC 1122, section 3.2.1.3).
func (o ownAddresses) has(ip netip.Addr) bool { return ip.IsLoopback() || o[ip.WithZone("")] }

// location is a path without symbolic links, and the file there, if it exists. Two paths are the same location if the
// path is the same, or, with a hard link or a mount, if the file is.
type location struct {
	path   string
	exists bool
	file   file
}

func locate(path string) location {
	p := location{path: filepath.Clean(path)}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		var stat unix.Stat_t
		p.path = real
		p.exists = unix.Stat(real, &stat) == nil // or it has gone in between
		p.file = file{stat.Dev, stat.Ino}
	} else if folder, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		p.path = filepath.Join(folder, filepath.Base(path)) // the socket is still to come
	}
	return p
}
