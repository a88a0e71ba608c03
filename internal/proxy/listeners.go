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

// listener is a socket that an app listens on, or will.
type listener struct {
	app   int    // its index
	port  string // as the configuration gives it
	at    netip.AddrPort
	only6 bool   // "::" is every address of IPv6, and none of IPv4 (ipv6(7), IPV6_V6ONLY)
	path  string // of a unix socket; at is not valid then
}

// listeners tells which apps a connection from this machine would reach. What it takes to tell does not grow with the number
// of listeners: they are found by what is given of them, and indices of all stand for them.
type listeners struct {
	all   []listener
	every map[uint16][]int       // those on every address, or every one of a family, by their port
	exact map[netip.AddrPort]int // those on one address: the first of it
	bare  map[netip.AddrPort]int // the same without zones
	paths map[string]int         // unix sockets by where they are: the first of it
	files map[file]int           // the same by what is there
	own   ownAddresses
}

// file is what a path leads to (stat(2)).
type file struct{ device, inode uint64 }

// newListeners gives the listeners of apps, whose ports may be served by inherited sockets.
func newListeners(apps []config.App, inherited []listen.Inherited) *listeners {
	l := &listeners{every: map[uint16][]int{}, exact: map[netip.AddrPort]int{}, bare: map[netip.AddrPort]int{}}
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
			x.at, x.only6 = at.AddrPort(), onlyIPv6(i.Listener)
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
		l.every[x.at.Port()] = append(l.every[x.at.Port()], n)
		return
	}
	at := netip.AddrPortFrom(x.at.Addr().Unmap(), x.at.Port())
	first(l.exact, at, n)
	first(l.bare, withoutZone(at), n)
}

// first sets what a key stands for, unless it stands for something.
func first[K comparable](of map[K]int, key K, n int) {
	if _, taken := of[key]; !taken {
		of[key] = n
	}
}

func withoutZone(at netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(at.Addr().WithZone(""), at.Port())
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
	l.paths, l.files = map[string]int{}, map[file]int{}
	for i, x := range l.all {
		if x.path == "" {
			continue
		}
		to := placeOf(x.path)
		first(l.paths, to.path, i)
		if to.there {
			first(l.files, to.file, i)
		}
	}
}

// reached gives the listener that a connection to a target would come to: to a TCP address, or to a path. Of several it is
// the first.
func (l *listeners) reached(addr netip.AddrPort, path string) (listener, bool) {
	found := len(l.all)
	may := func(n int, ok bool) {
		if ok {
			found = min(found, n)
		}
	}
	if path != "" {
		if len(l.paths) > 0 {
			to := placeOf(path)
			n, ok := l.paths[to.path]
			may(n, ok)
			n, ok = l.files[to.file]
			may(n, ok && to.there)
		}
	} else {
		to := netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
		for _, n := range l.every[to.Port()] {
			may(n, l.takes(l.all[n], to.Addr()))
		}
		n, ok := l.exact[to]
		may(n, ok)
		n, ok = l.exact[withoutZone(to)] // it listens on every link that has the address
		may(n, ok)
		n, ok = l.bare[to] // the target may be on any link
		may(n, ok)
	}
	if found == len(l.all) {
		return listener{}, false
	}
	return l.all[found], true
}

// takes reports whether a TCP listener on every address has the connections from this machine to an address.
func (l *listeners) takes(x listener, to netip.Addr) bool {
	if x.at.Addr().Unmap() == netip.IPv4Unspecified() {
		return to.Is4() && l.own.has(to)
	}
	return l.own.has(to) && !(x.only6 && to.Is4())
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

// place is where a path leads, through symbolic links, and the file that is there, if there is one. Two paths lead to one
// place by the same name, or, through a hard link or a mount, to one file.
type place struct {
	path  string
	there bool
	file  file
}

func placeOf(path string) place {
	p := place{path: filepath.Clean(path)}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		var stat unix.Stat_t
		p.path = real
		p.there = unix.Stat(real, &stat) == nil // or it has gone in between
		p.file = file{stat.Dev, stat.Ino}
	} else if folder, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		p.path = filepath.Join(folder, filepath.Base(path)) // the socket is still to come
	}
	return p
}
