// Package linux has system calls and socket options that package net does not offer: epoll, accept readiness, splice,
// TCP_INFO, and the listeners in /proc. It returns errors and does not log.
package linux

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Keepalive is TCP keepalive in whole seconds (tcp(7)). The zero value turns it off.
type Keepalive struct {
	Enabled  bool
	Idle     time.Duration // TCP_KEEPIDLE
	Interval time.Duration // TCP_KEEPINTVL
	Count    int           // TCP_KEEPCNT
}

// SetKeepalive sets k on a TCP socket. On a listening socket, every socket accepted from it inherits the setting.
func SetKeepalive(fd int, k Keepalive) error {
	options := []struct{ level, name, value int }{
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 0},
	}
	if k.Enabled {
		options = []struct{ level, name, value int }{
			{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
			{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(k.Idle / time.Second)},
			{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, int(k.Interval / time.Second)},
			{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, k.Count},
		}
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return os.NewSyscallError("setsockopt keepalive", err)
		}
	}
	return nil
}

// SetNoDelay disables Nagle's algorithm on a TCP socket (tcp(7): TCP_NODELAY). Sockets accepted from a listening socket
// inherit it.
func SetNoDelay(fd int) error {
	return os.NewSyscallError("setsockopt TCP_NODELAY", unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
}
