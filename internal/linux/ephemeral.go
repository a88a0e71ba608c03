package linux

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Ephemeral is the range of local ports that the kernel chooses from for outgoing connections of this network namespace
// (ip(7)).
type Ephemeral struct {
	First, Last uint16      // net.ipv4.ip_local_port_range
	reserved    []portRange // net.ipv4.ip_local_reserved_ports, excluded from the range
}

type portRange struct{ first, last uint16 }

// ReadEphemeral reads the range, which holds for IPv4 and IPv6.
func ReadEphemeral() (Ephemeral, error) {
	var e Ephemeral
	local, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return e, err
	}
	reserved, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_reserved_ports")
	if err != nil {
		return e, err
	}
	words := strings.Fields(string(local))
	if len(words) != 2 {
		return e, fmt.Errorf("net.ipv4.ip_local_port_range: %q is not two numbers", local)
	}
	r, err := parsePortRange(words[0] + "-" + words[1])
	if err != nil {
		return e, fmt.Errorf("net.ipv4.ip_local_port_range: %w", err)
	}
	e.First, e.Last = r.first, r.last
	e.reserved, err = parseReserved(string(reserved))
	return e, err
}

// parseReserved parses a list such as "8080,9148-9150".
func parseReserved(list string) (ranges []portRange, err error) {
	for item := range strings.SplitSeq(strings.TrimSpace(list), ",") {
		if item == "" {
			continue
		}
		r, err := parsePortRange(item)
		if err != nil {
			return nil, fmt.Errorf("net.ipv4.ip_local_reserved_ports: %w", err)
		}
		ranges = append(ranges, r)
	}
	return ranges, nil
}

func parsePortRange(s string) (portRange, error) {
	low, high, found := strings.Cut(s, "-")
	if !found {
		high = low
	}
	first, err := strconv.ParseUint(low, 10, 16)
	if err != nil {
		return portRange{}, err
	}
	last, err := strconv.ParseUint(high, 10, 16)
	return portRange{uint16(first), uint16(last)}, err
}

// Has reports whether the kernel may choose a port.
func (e Ephemeral) Has(port uint16) bool {
	if port < e.First || port > e.Last {
		return false
	}
	for _, r := range e.reserved {
		if r.first <= port && port <= r.last {
			return false
		}
	}
	return true
}
