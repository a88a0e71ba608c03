package relay

import (
	"fmt"
	"runtime"
	"sync/atomic"

	"tcp-proxy/internal/linux"
)

// Inheritance is what every client's socket has: urgent data in line (linux.Inline), no Nagle (TCP_NODELAY), and the
// keepalive of its app. A TCP socket has it from its listener, for no call. Three kinds do not: a TCP connection whose
// handshake was over before the listener was set up, as those that a service manager's socket has collected; a TCP
// connection that a Multipath TCP listener has accepted; and a unix socket, which inherits nothing
// (unix_stream_connect() in the kernel's net/unix/af_unix.c).
type Inheritance struct {
	unix   bool
	none   bool         // nothing is inherited
	before atomic.Int64 // how many of those that are accepted next may be of before
}

// Inherit sets up a listening socket. Its keepalive is set before.
func Inherit(fd int, unixSocket bool) (*Inheritance, error) {
	h := &Inheritance{unix: unixSocket, none: unixSocket}
	if unixSocket {
		return h, nil
	}
	h.none = linux.Inline(fd) != 0
	linux.NoDelay(fd)
	// The backlog is first in, first out (inet_csk_accept()). What a processor has begun to put into it is not counted.
	waiting, err := linux.Backlog(fd)
	if err != nil {
		return nil, fmt.Errorf("set up a listener: %w", err)
	}
	h.before.Store(int64(waiting + runtime.NumCPU()))
	return h, nil
}

// Lacks reports whether the socket that was accepted last is one for Complete. It is to be asked once for each.
func (h *Inheritance) Lacks() bool {
	return h.none || h.before.Load() > 0 && h.before.Add(-1) >= 0
}

// Complete gives an accepted socket what it has not inherited. What it cannot be given it has no use for: it is broken,
// or of Multipath TCP, which knows no urgent data.
func (h *Inheritance) Complete(fd int, keepalive linux.Keepalive) {
	linux.Inline(fd)
	if !h.unix {
		linux.NoDelay(fd)
		_ = linux.SetKeepalive(fd, keepalive)
	}
}
