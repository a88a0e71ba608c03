package linux

import (
	"os"

	"golang.org/x/sys/unix"
)

// SetReusePort lets other sockets of this user that do the same listen in the way of a TCP socket: SO_REUSEPORT of
// socket(7). The kernel looks at the option when the other binds, so that it may be set on a socket that listens
// already. There is no taking it back while one of them is open.
func SetReusePort(fd int) error {
	return os.NewSyscallError("setsockopt SO_REUSEPORT", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
}
