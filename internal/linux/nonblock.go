package linux

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls below do not tell the scheduler that the thread may block, so they are only for non-blocking sockets and pipes
// and for calls that never wait. An errno of 0 is success. They do not allocate.

// Receive is recv(2) on a socket, which is cheaper than read(2).
func Receive(fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
		0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// Read is read(2) on a pipe.
func Read(fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// Write is send(2) on a socket, without SIGPIPE.
func Write(fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
		unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// Splice moves up to n bytes between a socket and a pipe (splice(2)). EAGAIN means that the source is empty or the
// destination is full.
func Splice(from, to, n int) (int, syscall.Errno) {
	done, _, errno := unix.RawSyscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(n),
		unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
	if errno != 0 {
		return 0, errno
	}
	return int(done), 0
}

// Accept accepts a connection, non-blocking and close-on-exec. It stores the address of the peer in from; its family is
// AF_UNSPEC if the kernel returned none.
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

// Socket creates a stream socket of a family, non-blocking and close-on-exec.
func Socket(family int) (int, syscall.Errno) {
	fd, _, errno := unix.RawSyscall(unix.SYS_SOCKET, uintptr(family), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), 0
}

// Connect is connect(2) to the first size bytes of an address. EINPROGRESS means that the connect continues in the
// background.
func Connect(fd int, to *unix.RawSockaddrAny, size int) syscall.Errno {
	_, _, errno := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(to)), uintptr(size))
	return errno
}

// CloseWrite sends FIN (shutdown(2)).
func CloseWrite(fd int) syscall.Errno {
	_, _, errno := unix.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0)
	return errno
}

// CloseNow is close(2). The only possible error, EBADF, is a bug of the caller.
func CloseNow(fd int) {
	unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
}

// Abort closes a TCP socket with a reset (socket(7): SO_LINGER with a timeout of 0). A unix socket is just closed.
func Abort(fd int) {
	linger := unix.Linger{Onoff: 1}
	unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_LINGER, uintptr(unsafe.Pointer(&linger)),
		unix.SizeofLinger, 0)
	CloseNow(fd)
}

// Inline makes urgent data of a stream socket readable in its place among the other bytes (socket(7): SO_OOBINLINE), as RFC
// 6093, section 6, recommends: out of band, recv(2) would skip and lose it. A TCP socket inherits the option from its
// listener. It fails on a Multipath TCP socket, which has no urgent data; but most connections that such a listener accepts
// are TCP.
func Inline(fd int) syscall.Errno {
	on := int32(1)
	_, _, errno := unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_OOBINLINE,
		uintptr(unsafe.Pointer(&on)), 4, 0)
	return errno
}

// NoDelay disables Nagle's algorithm (tcp(7): TCP_NODELAY). It fails only if the socket is not TCP.
func NoDelay(fd int) {
	on := int32(1)
	unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY, uintptr(unsafe.Pointer(&on)), 4, 0)
}

// Pending reports whether fd has one of the events of poll(2), or an error, now.
func Pending(fd int, events int16) bool {
	p := unix.PollFd{Fd: int32(fd), Events: events}
	var now unix.Timespec
	n, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1, uintptr(unsafe.Pointer(&now)), 0, 0, 0)
	return errno == 0 && n > 0
}
