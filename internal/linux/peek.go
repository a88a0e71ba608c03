package linux

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Peek is recv(2) with MSG_PEEK: the bytes stay in the receive queue. It does not wait.
func Peek(fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
		unix.MSG_PEEK|unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// Readable reports whether a read of the socket would not block: there are bytes, an end of stream or an error.
func Readable(fd int) bool { return Pending(fd, unix.POLLIN) }

// Writable reports whether a write to the socket would not block.
func Writable(fd int) bool { return Pending(fd, unix.POLLOUT) }

// Answered reports whether a connect in progress has ended, with or without success.
func Answered(fd int) bool { return Pending(fd, unix.POLLOUT) }
