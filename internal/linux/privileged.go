package linux

import (
	"os"
	"strconv"
	"strings"
)

// FirstUnprivilegedPort returns the port below which a process needs CAP_NET_BIND_SERVICE to listen in this network namespace
// (net.ipv4.ip_unprivileged_port_start, which holds for IPv6 too). If that cannot be read, it is the kernel's default, 1024.
func FirstUnprivilegedPort() uint16 {
	const usual = 1024
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	if err != nil {
		return usual
	}
	first, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 16)
	if err != nil {
		return usual
	}
	return uint16(first)
}
