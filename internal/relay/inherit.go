package relay

import (
	"fmt"
	"runtime"
	"sync/atomic"

	"tcp-proxy/internal/linux"
)

// Inheritance is the options that the socket of every client has: urgent data in line (linux.Inline), TCP_NODELAY, and the
// keepalive of its app. A TCP socket inherits them from its listener without a system call. Three kinds do not: a TCP
// connection whose handshake was complete before the listener was set up, as of those that wait at a service manager's
// socket; a TCP connection that a Multipath TCP listener accepts; and a unix socket, which inherits nothing
// (unix_stream_connect() in the kernel's net/unix/af_unix.c).
type Inheritance struct {
	unix   bool
	none   bool         // nothing is inherited
	before atomic.Int64 // how many of the next accepted connections may be older than the options
}

// Inherit sets the options of a listening socket, but for its keepalive, which the caller has set before.
func Inherit(fd int, unixSocket bool) (*Inheritance, error) {
	h := &Inheritance{unix: unixSocket, none: unixSocket}
	if unixSocket {
		return h, nil
	}
	h.none = linux.Inline(fd) != 0
	linux.NoDelay(fd)
	// The backlog is first in, first out (inet_csk_accept()). A connection that a processor is adding is not counted yet.
	waiting, err := linux.Backlog(fd)
	if err != nil {
		return nil, fmt.Errorf("set up a listener: %w", err)
	}
	h.before.Store(int64(waiting + runtime.NumCPU()))
	return h, nil
}

// Lacks reports whether the socket that was accepted last needs Complete. Call it once for each.
func (h *Inheritance) Lacks() bool {
	return h.none || h.before.Load() > 0 && h.before.Add(-1) >= 0
}

// Complete sets the options that an accepted socket has not inherited. Errors are of no consequence: the socket is broken,
// or of Multipath TCP, which has no urgent data.
func (h *Inheritance) Complete(fd int, keepalive linux.Keepalive) {
	linux.Inline(fd)
	if !h.unix {
		linux.NoDelay(fd)
		_ = linux.SetKeepalive(fd, keepalive)
	}
}
