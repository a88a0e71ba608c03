package loop

import (
	"errors"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
)

// setPeer notes the address of the client on the session. It reports false if that is not known.
func (s *sessionHot) setPeer(from *unix.RawSockaddrAny) bool {
	switch from.Addr.Family {
	case unix.AF_INET:
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(from))
		s.peer = netip.AddrFrom4(in.Addr).As16()
		s.peerPort = linux.NetworkOrder(in.Port)
	case unix.AF_INET6:
		in := (*unix.RawSockaddrInet6)(unsafe.Pointer(from))
		s.peer, s.peerZone = in.Addr, in.Scope_id
		s.peerPort = linux.NetworkOrder(in.Port)
	case unix.AF_UNIX:
		s.side[client].mark |= isUnix | readUntilEAGAIN
	default:
		return false
	}
	return true
}

// peerAddr is the address of who has connected, without a zone; not valid for a unix socket.
func (s *sessionHot) peerAddr() netip.Addr {
	if s.side[client].mark.has(isUnix) {
		return netip.Addr{}
	}
	return netip.AddrFrom16(s.peer).Unmap()
}

// peerName is who has connected, as a record names it.
func (s *sessionHot) peerName() string {
	from := s.peerAddrPort()
	if !from.IsValid() {
		return "unix:"
	}
	return from.String()
}

// peerAddrPort is the address of who has connected, with its zone; not valid for a unix socket.
func (s *sessionHot) peerAddrPort() netip.AddrPort {
	ip := s.peerAddr()
	if !ip.IsValid() {
		return netip.AddrPort{}
	}
	if s.peerZone != 0 {
		ip = ip.WithZone(linux.InterfaceName(s.peerZone))
	}
	return netip.AddrPortFrom(ip, s.peerPort)
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
