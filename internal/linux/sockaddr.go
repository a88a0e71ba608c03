package linux

import (
	"encoding/binary"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sockaddr stores an address in the kernel's format (ip(7), ipv6(7)). It returns the family and the size.
func Sockaddr(to *unix.RawSockaddrAny, a netip.AddrPort) (family, size int, err error) {
	if ip := a.Addr().Unmap(); ip.Is4() {
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(to))
		*in = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: NetworkOrder(a.Port()), Addr: ip.As4()}
		return unix.AF_INET, unix.SizeofSockaddrInet4, nil
	}
	zone, err := zoneIndex(a.Addr().Zone())
	if err != nil {
		return 0, 0, err
	}
	in := (*unix.RawSockaddrInet6)(unsafe.Pointer(to))
	*in = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: NetworkOrder(a.Port()), Addr: a.Addr().As16(), Scope_id: zone}
	return unix.AF_INET6, unix.SizeofSockaddrInet6, nil
}

// SockaddrUnix stores a path in the kernel's format (unix(7)). It returns the size.
func SockaddrUnix(to *unix.RawSockaddrAny, path string) (size int, err error) {
	un := (*unix.RawSockaddrUnix)(unsafe.Pointer(to))
	if len(path) >= len(un.Path) {
		return 0, os.NewSyscallError("connect", unix.ENAMETOOLONG)
	}
	*un = unix.RawSockaddrUnix{Family: unix.AF_UNIX}
	for i := range len(path) {
		un.Path[i] = int8(path[i])
	}
	return int(unsafe.Offsetof(un.Path)) + len(path) + 1, nil
}

// zoneIndex returns the number of the interface that a zone names or is.
func zoneIndex(zone string) (uint32, error) {
	if zone == "" {
		return 0, nil
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n), nil
	}
	return interfaceIndex(zone)
}

// NetworkOrder converts a port between the byte order of the machine and that of the network.
func NetworkOrder(port uint16) uint16 {
	return binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, port))
}

// BindSource sets the local address from which a TCP socket of the same family will connect. The port is chosen by connect,
// which can share one among several destinations (ip(7), IP_BIND_ADDRESS_NO_PORT).
func BindSource(fd int, from netip.Addr) error {
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1) // without it, fewer connections are possible
	var at unix.RawSockaddrAny
	_, size, err := Sockaddr(&at, netip.AddrPortFrom(from, 0))
	if err != nil {
		return err
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_BIND, uintptr(fd), uintptr(unsafe.Pointer(&at)), uintptr(size)); errno != 0 {
		return os.NewSyscallError("bind", errno)
	}
	return nil
}

// Outcome returns the result of a connect in progress after its event: 0 if the connection is established.
func Outcome(fd int) syscall.Errno {
	errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err.(syscall.Errno)
	}
	return syscall.Errno(errno)
}

// MetItself reports whether a TCP socket is connected to itself: the kernel allows that if nobody listens on a local port
// and it happens to choose that port for the connection. A socket without a peer any more was connected to another one:
// only that could have ended the connection.
func MetItself(fd int) bool {
	var local, remote unix.RawSockaddrAny
	n, m := uint32(unix.SizeofSockaddrAny), uint32(unix.SizeofSockaddrAny)
	_, _, errLocal := unix.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&local)), uintptr(unsafe.Pointer(&n)))
	_, _, errRemote := unix.RawSyscall(unix.SYS_GETPEERNAME, uintptr(fd), uintptr(unsafe.Pointer(&remote)), uintptr(unsafe.Pointer(&m)))
	return errLocal == 0 && errRemote == 0 && local == remote
}
