package harness

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
)

// Listening says whether anybody listens at an address of IPv4 or "unix:PATH", without connecting to it: what the kernel
// shows in proc_pid_net(5).
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

// hexAddress writes an address as /proc/net/tcp does: the IP address is a number in the byte order of the machine.
func hexAddress(t testing.TB, address string) string {
	t.Helper()
	parsed, err := netip.ParseAddrPort(address)
	if err != nil {
		t.Fatal(err)
	}
	ip := parsed.Addr().As4()
	return fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(ip[:]), parsed.Port())
}
