package harness

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
)

// The ports of a rig count up from here. They stay below the range that the kernel takes client ports from, so a port
// that is free in the rig is free.
const firstPort = 5001

// Ports that are listened on at every address, or at ::1, come from here: no rig counts up that far.
const (
	firstSharedPort = 21001
	lastSharedPort  = 29000
)

var claims atomic.Uint32

// claimHost finds a loopback address that no other test has and keeps it until the returned function is called.
func claimHost() (host string, unclaim func(), err error) {
	for range 1 << 16 {
		n := uint32(os.Getpid())<<8 + claims.Add(1)
		a, b, c := n>>16&0x7f|0x40, n>>8&0xff, n&0xff
		host := fmt.Sprintf("127.%d.%d.%d", a, b, c)
		unclaim, err := claim(host)
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		return host, unclaim, err
	}
	return "", nil, errors.New("every loopback address is claimed")
}

// SharedPort returns a port that nobody on this machine listens on at any address, and keeps it for the rig.
func (r *Rig) SharedPort() int {
	r.T.Helper()
	return r.SharedPorts(1)
}

// SharedPorts returns the first of n such ports in a row.
func (r *Rig) SharedPorts(n int) int {
	r.T.Helper()
	const span = lastSharedPort - firstSharedPort
	start := (os.Getpid()*97 + int(claims.Add(1))*7) % span
	for i := range span {
		first := firstSharedPort + (start+i)%span
		if r.claimPorts(first, n) {
			return first
		}
	}
	r.T.Fatal("every shared port is in use")
	return 0
}

func (r *Rig) claimPorts(first, n int) bool {
	var held []func()
	for port := first; port < first+n; port++ {
		unclaim, err := claim(fmt.Sprintf("port-%d", port))
		if err == nil {
			held = append(held, unclaim)
			var l net.Listener
			if l, err = net.Listen("tcp", fmt.Sprintf(":%d", port)); err == nil {
				l.Close()
			}
		}
		if err != nil {
			for _, unclaim := range held {
				unclaim()
			}
			return false
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unclaims = append(r.unclaims, held...)
	return true
}

// claim takes a name that only one process of this network namespace can have at a time. The kernel gives it back
// when the process ends, however it ends: unix(7), abstract sockets.
func claim(name string) (unclaim func(), err error) {
	l, err := net.Listen("unix", "@tcp-proxy-test/"+name)
	if err != nil {
		return nil, fmt.Errorf("claim %s: %w", name, err)
	}
	return func() { l.Close() }, nil
}
