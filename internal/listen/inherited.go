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

// Inherited is a listening socket that the service manager has made and passed. The server keeps it open until it stops, also
// if no port of the configuration uses it; connections then wait in its backlog.
type Inherited struct {
	Name     string
	Listener net.Listener
}

// String describes the socket for messages.
func (s Inherited) String() string {
	return fmt.Sprintf("%q on %s %s", s.Name, s.Listener.Addr().Network(), sanitize.Text(s.Listener.Addr().String(), sanitize.Limit))
}

// Serves reports whether the socket serves a port of the configuration: by its name, or by its address.
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

// sameAddress reports whether a socket that listens at "at" serves a port of the configuration with the address want. If
// want has only a port number, a socket of 0.0.0.0 or of [::] serves it.
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

// duplicate returns another listener of the same socket. Its connections have the keepalive that Accepted sets.
func (s Inherited) duplicate() (net.Listener, error) {
	l, err := Duplicate(s.Listener)
	if tcp, ok := l.(*net.TCPListener); ok {
		l = &madeListener{TCPListener: tcp}
	}
	return l, err
}

// Duplicate returns another listener of the same socket. Closing one does not close the other, or remove the path of a unix
// socket.
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

// Accepted returns a function that sets options on the descriptor of a listening socket, which accepted connections inherit
// (tcp(7)): keepalive and TCP_NODELAY. l is the listener of the socket.
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

// madeListener is a TCP listener that was made of a descriptor. For such a listener, package net sets its own keepalive on
// accepted connections, and has no option to prevent that. Accept sets the keepalive of the port after it.
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
