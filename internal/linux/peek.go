package linux

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Peek is recv(2) that leaves what it returns where it is, and does not wait for it.
func Peek(fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
		unix.MSG_PEEK|unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// Readable reports whether a read of the socket would not wait: there is something, or the end.
func Readable(fd int) bool { return Pending(fd, unix.POLLIN) }

// Writable reports whether a write to the socket would not wait.
func Writable(fd int) bool { return Pending(fd, unix.POLLOUT) }

// Answered reports whether a socket that connects does so no more: it stands, or has an error.
func Answered(fd int) bool { return Pending(fd, unix.POLLOUT) }
