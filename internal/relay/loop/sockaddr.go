package loop

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sockaddr writes an address as the kernel has it (ip(7), ipv6(7)). It returns the family and the size.
func sockaddr(to *unix.RawSockaddrAny, a netip.AddrPort) (family, size int, err error) {
	if a.Addr().Is4() {
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(to))
		*in = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: networkOrder(a.Port()), Addr: a.Addr().As4()}
		return unix.AF_INET, unix.SizeofSockaddrInet4, nil
	}
	zone, err := zoneIndex(a.Addr().Zone())
	if err != nil {
		return 0, 0, err
	}
	in := (*unix.RawSockaddrInet6)(unsafe.Pointer(to))
	*in = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: networkOrder(a.Port()), Addr: a.Addr().As16(), Scope_id: zone}
	return unix.AF_INET6, unix.SizeofSockaddrInet6, nil
}

// sockaddrUnix writes a path (unix(7)). It returns the size.
func sockaddrUnix(to *unix.RawSockaddrAny, path string) (size int, err error) {
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

// setPeer notes the address of the client on the session.
func (s *session) setPeer(from *unix.RawSockaddrAny) {
	switch from.Addr.Family {
	case unix.AF_INET:
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(from))
		s.peer = netip.AddrFrom4(in.Addr).As16()
		s.peerPort = networkOrder(in.Port)
	case unix.AF_INET6:
		in := (*unix.RawSockaddrInet6)(unsafe.Pointer(from))
		s.peer, s.peerZone = in.Addr, in.Scope_id
		s.peerPort = networkOrder(in.Port)
	default:
		s.side[client].mark |= isUnix | chatty
	}
}

// peerName is the client as a record names it.
func (s *session) peerName() string {
	if s.side[client].mark.has(isUnix) {
		return "unix:"
	}
	ip := netip.AddrFrom16(s.peer).Unmap()
	if s.peerZone != 0 {
		ip = ip.WithZone(zoneName(s.peerZone))
	}
	return netip.AddrPortFrom(ip, s.peerPort).String()
}

func zoneIndex(zone string) (uint32, error) {
	if zone == "" {
		return 0, nil
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n), nil
	}
	link, err := net.InterfaceByName(zone)
	if err != nil {
		return 0, err
	}
	return uint32(link.Index), nil
}

func zoneName(index uint32) string {
	if link, err := net.InterfaceByIndex(int(index)); err == nil {
		return link.Name
	}
	return strconv.FormatUint(uint64(index), 10)
}

// networkOrder turns a port from the machine's byte order into that of the network, or back.
func networkOrder(port uint16) uint16 {
	return binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, port))
}

// firstEphemeral is the first port that the kernel gives to connections (ip(7), ip_local_port_range).
func firstEphemeral() (uint16, error) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return 0, err
	}
	words := strings.Fields(string(text))
	if len(words) != 2 {
		return 0, errors.New("ip_local_port_range is not two numbers")
	}
	n, err := strconv.ParseUint(words[0], 10, 16)
	return uint16(n), err
}
