package linux

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Exhausted reports whether err says that there is no room just now: descriptors, memory, watches (ENOSPC, epoll_ctl(2)) or
// local ports of this machine, or (EAGAIN, connect(2)) the backlog of a unix socket. It says nothing of the health of the
// other end, and passes when something is given back.
func Exhausted(err error) bool {
	for _, errno := range []unix.Errno{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.ENOSPC, unix.EADDRNOTAVAIL,
		unix.EAGAIN} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}
