package linux

import (
	"os"

	"golang.org/x/sys/unix"
)

// SetReusePort allows other sockets of this user with the same option to listen on a conflicting address (socket(7):
// SO_REUSEPORT). The kernel checks the option when the other socket binds, so it may be set while the socket already
// listens. It cannot be undone while one of the sockets is open.
func SetReusePort(fd int) error {
	return os.NewSyscallError("setsockopt SO_REUSEPORT", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
}
