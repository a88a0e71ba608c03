package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/linux"
)

// listen makes the listening socket of a port, with no options set but those of package net and, if it is shared,
// the one that lets it listen beside others that have it too.
func listen(port config.Port, shared bool) (net.Listener, error) {
	if port.Network == "unix" {
		return linux.ListenUnix(port.Path, 0)
	}
	lc := net.ListenConfig{KeepAlive: -1}
	lc.SetMultipathTCP(false)
	if shared {
		lc.Control = func(_, _ string, c syscall.RawConn) error {
			var optErr error
			err := c.Control(func(fd uintptr) { optErr = linux.SetReusePort(int(fd)) })
			return errors.Join(err, optErr)
		}
	}
	network, address := "tcp", fmt.Sprintf(":%d", port.Addr.Port())
	if addr := port.Addr.Addr(); addr.IsValid() {
		address = port.Addr.String()
		if addr.Is4() {
			network = "tcp4"
		}
	}
	l, err := lc.Listen(context.Background(), network, address)
	return l, plain(err)
}

// unheard is a port that cannot be listened on.
type unheard struct {
	app, port int // their indices
	asked     config.Port
	err       error
}

// nameHolders adds to the errors of ports in use who holds them, which it looks up once for all.
func nameHolders(failed []unheard) {
	var which []int
	var at []netip.AddrPort
	for i, f := range failed {
		if f.asked.Network == "tcp" && errors.Is(f.err, unix.EADDRINUSE) {
			which, at = append(which, i), append(at, f.asked.Addr)
		}
	}
	if len(at) == 0 {
		return
	}
	for i, holder := range linux.Holders(at) {
		if f := &failed[which[i]]; holder != "" {
			f.err = fmt.Errorf("%w (by %s)", f.err, holder)
		}
	}
}

// inherit returns what sets on a listening socket that what is accepted from it inherits (tcp(7)). The listener is the
// one that was made of the socket.
func inherit(l net.Listener, keepalive linux.Keepalive) func(fd int) error {
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

// plain takes away what package net wraps around an error of the system, which the caller says in its own words.
func plain(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}
