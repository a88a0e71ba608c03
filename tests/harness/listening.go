package harness

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Listening reports whether a socket listens on an IPv4 address or "unix:PATH", from proc_pid_net(5), without connecting to
// it.
func Listening(t testing.TB, address string) bool {
	t.Helper()
	network, name := split(address)
	file := "/proc/net/tcp"
	if network == "unix" {
		file = "/proc/net/unix"
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		switch {
		case network == "unix":
			// Num RefCount Protocol Flags Type St Inode Path; the flag is __SO_ACCEPTCON.
			if len(fields) == 8 && fields[3] == "00010000" && fields[7] == name {
				return true
			}
		case len(fields) > 3 && fields[3] == "0A" && fields[1] == hexAddress(t, name): // TCP_LISTEN
			return true
		}
	}
	return false
}

// KeepaliveTimer returns the time until the kernel's next keepalive probe of the TCP connection between two IPv4 addresses,
// for the socket at the first one; 0 is never. It waits until the connection is quiet.
func KeepaliveTimer(t testing.TB, local, remote string) (next time.Duration) {
	t.Helper()
	from, to := hexAddress(t, local), hexAddress(t, remote)
	Eventually(t, fmt.Sprintf("the connection from %s to %s is quiet", local, remote), func() bool {
		text, err := os.ReadFile("/proc/net/tcp")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) < 6 || fields[1] != from || fields[2] != to {
				continue
			}
			// Which timer runs, and for how many clock ticks; 2 is the one for keepalive in get_tcp4_sock() of
			// net/ipv4/tcp_ipv4.c.
			kind, left, _ := strings.Cut(fields[5], ":")
			n, err := strconv.ParseUint(left, 16, 63)
			if err != nil {
				t.Fatalf("/proc/net/tcp: %s", line)
			}
			if kind == "02" {
				next = time.Duration(n) * time.Second / ticks
			}
			return kind == "00" || kind == "02"
		}
		return false
	})
	return next
}

// hexAddress formats an address as in /proc/net/tcp: the IP address is a number in the byte order of the machine.
func hexAddress(t testing.TB, address string) string {
	t.Helper()
	parsed, err := netip.ParseAddrPort(address)
	if err != nil {
		t.Fatal(err)
	}
	ip := parsed.Addr().As4()
	return fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(ip[:]), parsed.Port())
}
