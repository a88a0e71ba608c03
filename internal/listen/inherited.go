package listen

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/sanitize"
)

// Inherited is a listening socket that was made before this process, by a service manager. The server that has it keeps it
// open until it stops, whether a configuration uses it or not. While no port uses it, connections wait in its backlog.
type Inherited struct {
	Name     string
	Listener net.Listener
}

// String names the socket for people.
func (s Inherited) String() string {
	return fmt.Sprintf("%q on %s %s", s.Name, s.Listener.Addr().Network(), sanitize.Text(s.Listener.Addr().String(), sanitize.Limit))
}

// Serves reports whether a port of the configuration means this socket: by its name, or by its address.
func (s Inherited) Serves(p config.Port) bool {
	switch at := s.Listener.Addr().(type) {
	case *net.UnixAddr:
		return p.Network == "systemd" && p.Path == s.Name || p.Network == "unix" && p.Path == at.Name
	case *net.TCPAddr:
		return p.Network == "systemd" && p.Path == s.Name || p.Network == "tcp" && sameAddress(at.AddrPort(), p.Addr)
	}
	return false
}

// Serving returns the inherited sockets that serve a port.
func Serving(all []Inherited, p config.Port) (sockets []Inherited) {
	for _, i := range all {
		if i.Serves(p) {
			sockets = append(sockets, i)
		}
	}
	return sockets
}

// sameAddress reports whether a socket that listens at "at" is what a port of the configuration asks for. A port that
// asks for every address has it in either family's "every address".
func sameAddress(at, want netip.AddrPort) bool {
	ip := at.Addr().Unmap()
	switch {
	case at.Port() != want.Port():
		return false
	case !want.Addr().IsValid():
		return ip.IsUnspecified()
	}
	return ip == want.Addr()
}

// duplicate returns another listener of the same socket, whose accepted connections have the keepalive that Accepted sets.
func (s Inherited) duplicate() (net.Listener, error) {
	l, err := Duplicate(s.Listener)
	if tcp, ok := l.(*net.TCPListener); ok {
		l = &madeListener{TCPListener: tcp}
	}
	return l, err
}

// Duplicate returns another listener of the same socket. Closing one leaves the other, and a unix socket's path, alone.
func Duplicate(of net.Listener) (net.Listener, error) {
	filer, ok := of.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, fmt.Errorf("a %T has no descriptor", of)
	}
	file, err := filer.File()
	if err != nil {
		return nil, err
	}
	l, err := net.FileListener(file)
	return l, errors.Join(err, file.Close())
}

// Accepted returns a function that sets, on the descriptor of a listening socket, what the connections accepted from it
// inherit (tcp(7)). l is the listener that was made of the socket.
func Accepted(l net.Listener, keepalive linux.Keepalive) func(fd int) error {
	if l.Addr().Network() == "unix" {
		return func(int) error { return nil }
	}
	return func(fd int) error {
		if made, ok := l.(*madeListener); ok {
			made.keepalive.Store(&keepalive)
		}
		return errors.Join(linux.SetKeepalive(fd, keepalive), linux.SetNoDelay(fd))
	}
}

// madeListener is a TCP listener that was made of a descriptor. Package net sets a keepalive of its own on the connections
// that such a listener accepts, and has no option against it. Accept sets the port's keepalive again.
type madeListener struct {
	*net.TCPListener
	keepalive atomic.Pointer[linux.Keepalive] // set before Accept
}

// Accept returns a *net.TCPConn.
func (l *madeListener) Accept() (net.Conn, error) {
	conn, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	set := func(fd int) error { return linux.SetKeepalive(fd, *l.keepalive.Load()) }
	if err := linux.Control(conn, set); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}
