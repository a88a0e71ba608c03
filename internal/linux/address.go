package linux

import (
	"fmt"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// LocalAddr returns the local address of a TCP socket, without a zone. It works also after the connection was reset
// (inet_getname() in the kernel's net/ipv4/af_inet.c); the address of the peer does not, take that from accept(2). It fails
// if the socket is not TCP.
func LocalAddr(fd int) (netip.AddrPort, error) {
	var at unix.RawSockaddrAny
	size := uint32(unix.SizeofSockaddrAny)
	_, _, errno := unix.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&at)), uintptr(unsafe.Pointer(&size)))
	if errno != 0 {
		return netip.AddrPort{}, os.NewSyscallError("getsockname", errno)
	}
	local := addrPortOf(&at)
	if !local.IsValid() {
		return netip.AddrPort{}, fmt.Errorf("getsockname: the socket is of family %d, which is not TCP", at.Addr.Family)
	}
	return local, nil
}

// addrPortOf converts an IPv4 or IPv6 address that the kernel has written, without its zone; the result is not valid for
// other families.
func addrPortOf(at *unix.RawSockaddrAny) netip.AddrPort {
	switch at.Addr.Family {
	case unix.AF_INET:
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(at))
		return netip.AddrPortFrom(netip.AddrFrom4(in.Addr), NetworkOrder(in.Port))
	case unix.AF_INET6:
		in := (*unix.RawSockaddrInet6)(unsafe.Pointer(at))
		return netip.AddrPortFrom(netip.AddrFrom16(in.Addr).Unmap(), NetworkOrder(in.Port))
	}
	return netip.AddrPort{}
}
