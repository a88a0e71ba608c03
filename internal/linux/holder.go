package linux

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"tcp-proxy/internal/sanitize"
)

// holderLimit bounds how long Holders looks: a machine may have a million connections and as many descriptors.
const holderLimit = 2 * time.Second

// Holders says, of each of some TCP addresses of this network namespace, who keeps others from listening there: the
// process that listens in the way, by name and PID, or else an outgoing connection, which holds its local port too (the
// kernel's inet_csk_bind_conflict, net/ipv4/inet_connection_sock.c). It is "" where that cannot be told, for want of
// rights or time, or because it is over. An address without an IP is every address.
//
// It reads /proc/net/tcp, /proc/net/tcp6 and the descriptors of every process (proc(5)) once, so it is for error messages,
// and for many addresses at a time.
func Holders(at []netip.AddrPort) []string {
	deadline := time.Now().Add(holderLimit)
	wanted := map[uint16][]*holder{}
	holders := make([]holder, len(at))
	for i := range at {
		holders[i].at = at[i]
		wanted[at[i].Port()] = append(wanted[at[i].Port()], &holders[i])
	}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		readHolders(table, wanted, deadline)
	}
	owners := map[string]string{} // by inode
	for _, h := range holders {
		if h.inode != "" && h.inode != noInode {
			owners[h.inode] = ""
		}
	}
	findOwners(owners, deadline)
	texts := make([]string, len(at))
	for i, h := range holders {
		texts[i] = h.text(owners[h.inode])
	}
	return texts
}

// holder is what is in the way of an address.
type holder struct {
	at    netip.AddrPort
	kind  holding
	inode string // of its socket
}

// holding is how an address is held; the greater goes first.
type holding int

const (
	notHeld holding = iota
	endedHolds
	connectionHolds
	listenerHolds
)

// noInode is that of a socket that no process has any more.
const noInode = "0"

func (h holder) text(owner string) string {
	switch {
	case h.kind == connectionHolds && owner != "":
		return "an outgoing connection of " + owner
	case h.kind == connectionHolds:
		return "an outgoing connection"
	case h.kind == endedHolds:
		return "a connection that has ended, for a minute (TIME_WAIT)"
	}
	return owner
}

// States of the kernel's tables (include/net/tcp_states.h).
const (
	tableTimeWait = "06"
	tableListen   = "0A"
)

// readHolders notes what a table has in the way of addresses, which it finds by their ports.
func readHolders(table string, wanted map[uint16][]*holder, deadline time.Time) {
	const local, state, inode = 1, 3, 9 // columns, counted by white space
	file, err := os.Open(table)
	if err != nil {
		return
	}
	defer file.Close()
	n := 0
	for lines := bufio.NewScanner(file); lines.Scan(); n++ {
		if n%1024 == 0 && time.Now().After(deadline) {
			return
		}
		f := strings.Fields(lines.Text())
		if len(f) <= inode {
			continue
		}
		taken, ok := tableAddress(f[local])
		if !ok {
			continue
		}
		kind := connectionHolds
		switch {
		case f[state] == tableListen:
			kind = listenerHolds
		case f[state] == tableTimeWait || f[inode] == noInode:
			kind = endedHolds
		}
		for _, h := range wanted[taken.Port()] {
			if kind > h.kind && inTheWay(taken, h.at) {
				h.kind, h.inode = kind, f[inode]
			}
		}
	}
}

// findOwners fills in which processes have the sockets with some inodes, as far as that can be told until the deadline.
func findOwners(owners map[string]string, deadline time.Time) {
	if len(owners) == 0 {
		return
	}
	missing := len(owners)
	self := strconv.Itoa(os.Getpid()) // first: it is often this process, and there may be no time for all others
	for _, pid := range append([]string{self}, namesIn("/proc")...) {
		if _, err := strconv.Atoi(pid); err != nil {
			continue
		}
		if missing == 0 || time.Now().After(deadline) {
			return
		}
		for i, fd := range namesIn("/proc/" + pid + "/fd") {
			if i%1024 == 1023 && time.Now().After(deadline) {
				return
			}
			to, err := os.Readlink("/proc/" + pid + "/fd/" + fd)
			if err != nil {
				continue
			}
			inode, ok := strings.CutPrefix(to, "socket:[")
			inode = strings.TrimSuffix(inode, "]")
			if owner, wanted := owners[inode]; !ok || !wanted || owner != "" {
				continue
			}
			if name, err := os.ReadFile("/proc/" + pid + "/comm"); err == nil {
				owners[inode] = ownerText(string(name), pid)
				missing--
			}
		}
	}
}

// commLimit is more than a name has, so that none is cut.
const commLimit = 64

// ownerText names a process. A process gives itself its name, of any 15 bytes (prctl(2), PR_SET_NAME).
func ownerText(comm, pid string) string {
	return fmt.Sprintf("%s, PID %s", sanitize.Text(strings.TrimSuffix(comm, "\n"), commLimit), pid)
}

// namesIn lists a folder, in no order; nothing if it is gone or closed to this user.
func namesIn(folder string) []string {
	f, err := os.Open(folder)
	if err != nil {
		return nil
	}
	defer f.Close()
	names, _ := f.Readdirnames(-1) // what there is
	return names
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
