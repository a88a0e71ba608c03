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

// HungUp reports whether the peer of a stream socket has sent its last byte, which may still be to be read: POLLRDHUP of
// poll(2).
func HungUp(fd int) bool { return polled(fd, unix.POLLRDHUP) }

// Readable reports whether a read of the socket would not wait: there is something, or the end.
func Readable(fd int) bool { return polled(fd, unix.POLLIN) }

// Writable reports whether a write to the socket would not wait.
func Writable(fd int) bool { return polled(fd, unix.POLLOUT) }

// Answered reports whether a socket that connects does so no more: it stands, or has an error.
func Answered(fd int) bool { return polled(fd, unix.POLLOUT) }

// polled reports whether any of the events is true now, or an error. What cannot be asked is not true.
func polled(fd int, events int16) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: events}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0
}
