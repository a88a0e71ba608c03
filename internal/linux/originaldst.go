package linux

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// soOriginalDst is SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST (include/uapi/linux/netfilter_ipv4.h and …/ip6_tables.h).
const soOriginalDst = 80

// OriginalDestination returns the address to which the peer of a TCP connection connected, before netfilter redirected it
// to this socket (DNAT, REDIRECT), without a zone. Without a redirection it is not valid, or the address of the socket
// itself.
func OriginalDestination(fd int) netip.AddrPort {
	var at unix.RawSockaddrAny
	for _, level := range []uintptr{unix.SOL_IP, unix.SOL_IPV6} {
		size := uint32(unix.SizeofSockaddrAny)
		_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), level, soOriginalDst,
			uintptr(unsafe.Pointer(&at)), uintptr(unsafe.Pointer(&size)), 0)
		if errno == 0 {
			return addrPortOf(&at)
		}
	}
	return netip.AddrPort{}
}
