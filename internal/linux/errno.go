package linux

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Exhausted reports whether err means that this machine lacks a resource at the moment: descriptors, memory, epoll watches
// (ENOSPC, epoll_ctl(2)), local ports, or space in the backlog of a unix socket (EAGAIN, connect(2)). Such an error says
// nothing about the peer, and passes when the resource is released.
func Exhausted(err error) bool {
	for _, errno := range []unix.Errno{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.ENOSPC, unix.EADDRNOTAVAIL,
		unix.EAGAIN} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}
