package linux

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls below do not tell the scheduler that a thread may block. They are for sockets that are non-blocking, for
// pipes that were made so, and for calls that never wait. An errno of 0 is success. None allocates.

// Receive is recv(2) from a socket, which has less to go through than read(2).
func Receive(fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
		0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// Read is read(2) of a pipe.
func Read(fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// Write is send(2) to a socket, without SIGPIPE.
func Write(fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
		unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// Splice moves up to n bytes between a socket and a pipe (splice(2)). EAGAIN says that the source is empty or the
// destination full.
func Splice(from, to, n int) (int, syscall.Errno) {
	done, _, errno := unix.RawSyscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(n),
		unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
	if errno != 0 {
		return 0, errno
	}
	return int(done), 0
}

// Accept takes a connection of a listening socket, non-blocking and closed on exec. It writes the peer to from, whose
// family is AF_UNSPEC if the kernel has not told.
func Accept(fd int, from *unix.RawSockaddrAny) (int, syscall.Errno) {
	from.Addr.Family = unix.AF_UNSPEC
	size := uint32(unix.SizeofSockaddrAny)
	conn, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(from)), uintptr(unsafe.Pointer(&size)),
		unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(conn), 0
}

// Socket makes a stream socket of a family, non-blocking and closed on exec.
func Socket(family int) (int, syscall.Errno) {
	fd, _, errno := unix.RawSyscall(unix.SYS_SOCKET, uintptr(family), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), 0
}

// Connect is connect(2) to the first size bytes of an address. EINPROGRESS says that it goes on.
func Connect(fd int, to *unix.RawSockaddrAny, size int) syscall.Errno {
	_, _, errno := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(to)), uintptr(size))
	return errno
}

// CloseWrite sends FIN (shutdown(2)).
func CloseWrite(fd int) syscall.Errno {
	_, _, errno := unix.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0)
	return errno
}

// CloseNow is close(2) of a descriptor that nobody else uses; its only error, EBADF, is a mistake of the caller.
func CloseNow(fd int) {
	unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
}

// Abort closes a TCP socket with a reset (SO_LINGER of socket(7) with no time); a unix socket it closes.
func Abort(fd int) {
	linger := unix.Linger{Onoff: 1}
	unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_LINGER, uintptr(unsafe.Pointer(&linger)),
		unix.SizeofLinger, 0)
	CloseNow(fd)
}

// Inline has urgent data of a stream socket read in its place among the other bytes (SO_OOBINLINE of socket(7)), as RFC
// 6093, section 6, wants it: out of band it is skipped by recv(2), and lost. A TCP socket inherits it from its listener.
// It fails on a socket of Multipath TCP, which has no urgent data; but what such a listener accepts is TCP, mostly.
func Inline(fd int) syscall.Errno {
	on := int32(1)
	_, _, errno := unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_OOBINLINE,
		uintptr(unsafe.Pointer(&on)), 4, 0)
	return errno
}

// NoDelay turns Nagle's algorithm off (TCP_NODELAY of tcp(7)). It fails only on what is not TCP.
func NoDelay(fd int) {
	on := int32(1)
	unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY, uintptr(unsafe.Pointer(&on)), 4, 0)
}

// Pending reports whether any of the events of poll(2), or an error, is true of fd now.
func Pending(fd int, events int16) bool {
	p := unix.PollFd{Fd: int32(fd), Events: events}
	var now unix.Timespec
	n, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1, uintptr(unsafe.Pointer(&now)), 0, 0, 0)
	return errno == 0 && n > 0
}
