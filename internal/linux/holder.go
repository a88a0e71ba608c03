package linux

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ListenOwner says which process listens in the way of a TCP address of this network namespace: its name and PID, or ""
// if that cannot be told, for want of rights or because it is gone. An address without an IP is every address. It reads
// /proc/net/tcp, /proc/net/tcp6 and the descriptors of every process (proc(5)), so it is for error messages.
func ListenOwner(at netip.AddrPort) string {
	inodes := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		listenInodes(table, at, inodes)
	}
	if len(inodes) == 0 {
		return ""
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*") // the pattern is well formed
	for _, link := range links {
		to, err := os.Readlink(link)
		if err != nil || !inodes[strings.TrimSuffix(strings.TrimPrefix(to, "socket:["), "]")] {
			continue
		}
		pid := strings.Split(link, "/")[2]
		if name, err := os.ReadFile("/proc/" + pid + "/comm"); err == nil {
			return fmt.Sprintf("%s, PID %s", strings.TrimSpace(string(name)), pid)
		}
	}
	return ""
}

// listenInodes adds the inodes of the sockets in table that listen in the way of an address.
func listenInodes(table string, at netip.AddrPort, to map[string]bool) {
	const local, state, inode = 1, 3, 9 // columns, counted by white space
	const listen = "0A"
	file, err := os.Open(table)
	if err != nil {
		return
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) <= inode || f[state] != listen {
			continue
		}
		if taken, ok := tableAddress(f[local]); ok && inTheWay(taken, at) {
			to[f[inode]] = true
		}
	}
}

// inTheWay reports whether two sockets cannot listen on both addresses: the ports are the same, and so are the IPs, or
// one of them is every address. That of IPv4 alone and an IPv6 address are taken for no conflict.
func inTheWay(a, b netip.AddrPort) bool {
	every := func(ip netip.Addr) bool { return !ip.IsValid() || ip == netip.IPv6Unspecified() }
	one, other := a.Addr().Unmap(), b.Addr().Unmap()
	switch {
	case a.Port() != b.Port():
		return false
	case every(one) || every(other) || one == other:
		return true
	}
	return one.Is4() == other.Is4() && (one.IsUnspecified() || other.IsUnspecified())
}

// tableAddress reads an address as the kernel's tables have it: words of four bytes in the order of the machine, in
// hexadecimal digits, and the port.
func tableAddress(s string) (netip.AddrPort, bool) {
	words, port, _ := strings.Cut(s, ":")
	ip, err := hex.DecodeString(words)
	n, portErr := strconv.ParseUint(port, 16, 16)
	if err != nil || portErr != nil || len(ip)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(ip); i += 4 {
		binary.BigEndian.PutUint32(ip[i:], binary.NativeEndian.Uint32(ip[i:]))
	}
	addr, ok := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(addr, uint16(n)), ok
}
