package proxy

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

// Inherited is a listening socket that was made before this process, by a service manager. The server keeps it open
// until Stop, whether a configuration uses it or not: who connects meanwhile waits in its backlog.
type Inherited struct {
	Name     string
	Listener net.Listener
}

// String names the socket for people.
func (s Inherited) String() string {
	return fmt.Sprintf("%q on %s %s", s.Name, s.Listener.Addr().Network(), sanitize.Text(s.Listener.Addr().String(), sanitize.Limit))
}

// serves reports whether a port of the configuration means this socket: by its name, or by its address.
func (s Inherited) serves(p config.Port) bool {
	switch at := s.Listener.Addr().(type) {
	case *net.UnixAddr:
		return p.Network == "systemd" && p.Path == s.Name || p.Network == "unix" && p.Path == at.Name
	case *net.TCPAddr:
		return p.Network == "systemd" && p.Path == s.Name || p.Network == "tcp" && sameAddress(at.AddrPort(), p.Addr)
	}
	return false
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

// duplicate gives another listener of the same socket. Closing it leaves the socket, and a unix socket's path, alone.
func (s Inherited) duplicate() (net.Listener, error) {
	filer, ok := s.Listener.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, fmt.Errorf("a %T has no descriptor", s.Listener)
	}
	file, err := filer.File()
	if err != nil {
		return nil, err
	}
	l, err := net.FileListener(file)
	if tcp, ok := l.(*net.TCPListener); ok {
		l = &madeListener{TCPListener: tcp}
	}
	return l, errors.Join(err, file.Close())
}

// madeListener is a TCP listener that was made of a descriptor. What such a one accepts, package net gives a keepalive
// of its own, and there is no telling it not to; Accept gives it the port's again.
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
