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

// holderLimit is the time limit of Holders: a machine may have a million connections and as many descriptors.
const holderLimit = 2 * time.Second

// Holders returns, for each of several TCP addresses of this network namespace, what prevents others from listening there:
// the name and PID of a process that listens on a conflicting address, or an outgoing connection, which occupies its local
// port too (inet_csk_bind_conflict in the kernel's net/ipv4/inet_connection_sock.c). If it cannot
// find the process, because it lacks the rights or the time, the text says so. It returns "" if nothing is in the way any
// more. An address without an IP stands for every address.
//
// It reads /proc/net/tcp, /proc/net/tcp6 and the descriptors of every process (proc(5)) once per call, so use it for error
// messages only, and for many addresses at once.
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

// holder is what occupies an address.
type holder struct {
	at    netip.AddrPort
	kind  holding
	inode string // of its socket
}

// holding is the way in which an address is occupied; the greater one is reported.
type holding int

const (
	notHeld holding = iota
	endedHolds
	connectionHolds
	listenerHolds
)

// noInode is the inode of a socket that no process holds any more.
const noInode = "0"

func (h holder) text(owner string) string {
	switch {
	case h.kind == connectionHolds && owner != "":
		return "an outgoing connection of " + owner
	case h.kind == connectionHolds:
		return "an outgoing connection"
	case h.kind == endedHolds:
		return "a connection that has ended, for a minute (TIME_WAIT)"
	case h.kind == listenerHolds && owner == "":
		return `a process that cannot be seen from here: as root, "ss -ltnp" shows it`
	}
	return owner
}

// States of the kernel's tables (include/net/tcp_states.h).
const (
	tableTimeWait = "06"
	tableListen   = "0A"
)

// readHolders finds the holders of addresses in one table of the kernel.
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
			if kind > h.kind && conflict(taken, h.at) {
				h.kind, h.inode = kind, f[inode]
			}
		}
	}
}

// findOwners fills in the processes that hold the sockets with the given inodes, as far as it gets until the deadline.
func findOwners(owners map[string]string, deadline time.Time) {
	if len(owners) == 0 {
		return
	}
	missing := len(owners)
	self := strconv.Itoa(os.Getpid()) // first, because it is the most likely holder and time may run out
	for _, pid := range append([]string{self}, listDirectory("/proc")...) {
		if _, err := strconv.Atoi(pid); err != nil {
			continue
		}
		if missing == 0 || time.Now().After(deadline) {
			return
		}
		for i, fd := range listDirectory("/proc/" + pid + "/fd") {
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

// commLimit is longer than any process name, so that none is cut.
const commLimit = 64

// ownerText names a process. A process chooses its own name, any 15 bytes (prctl(2), PR_SET_NAME).
func ownerText(comm, pid string) string {
	return fmt.Sprintf("%s, PID %s", sanitize.Text(strings.TrimSuffix(comm, "\n"), commLimit), pid)
}

// listDirectory lists a directory, unsorted; nothing if it cannot be read.
func listDirectory(folder string) []string {
	f, err := os.Open(folder)
	if err != nil {
		return nil
	}
	defer f.Close()
	names, _ := f.Readdirnames(-1) // as many as could be read
	return names
}

// conflict reports whether two sockets cannot listen on both addresses: their ports are equal, and their IPs are equal or
// one of them is the unspecified address. 0.0.0.0 and an IPv6 address do not conflict.
func conflict(a, b netip.AddrPort) bool {
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

// tableAddress parses an address in the kernel's tables: 32-bit words in the byte order of the machine, in hexadecimal
// digits, and the port.
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
