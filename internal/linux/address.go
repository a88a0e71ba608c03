package linux

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// LocalAddr is the address of a TCP socket itself, without a zone; not valid for any other.
func LocalAddr(fd int) netip.AddrPort { return addressOf(fd, unix.SYS_GETSOCKNAME) }

// RemoteAddr is the address that a TCP socket is connected to, without a zone; not valid for any other.
func RemoteAddr(fd int) netip.AddrPort { return addressOf(fd, unix.SYS_GETPEERNAME) }

func addressOf(fd int, call uintptr) netip.AddrPort {
	var at unix.RawSockaddrAny
	size := uint32(unix.SizeofSockaddrAny)
	if _, _, errno := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&at)), uintptr(unsafe.Pointer(&size))); errno != 0 {
		return netip.AddrPort{}
	}
	switch at.Addr.Family {
	case unix.AF_INET:
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(&at))
		return netip.AddrPortFrom(netip.AddrFrom4(in.Addr), NetworkOrder(in.Port))
	case unix.AF_INET6:
		in := (*unix.RawSockaddrInet6)(unsafe.Pointer(&at))
		return netip.AddrPortFrom(netip.AddrFrom16(in.Addr).Unmap(), NetworkOrder(in.Port))
	}
	return netip.AddrPort{}
}
