package harness

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
)

// The first port of a rig. All ports of a rig are below the range from which the kernel takes client ports, so no
// client takes them.
const firstPort = 5001

// The first port for sockets that listen on every address, or on ::1. No rig counts up that far.
const (
	firstSharedPort = 21001
	lastSharedPort  = 29000
)

var claims atomic.Uint32

// claimHost returns a loopback address that no other test uses, and keeps it until the returned function is called.
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

// SharedPort returns a port on which nobody on this machine listens, at any address, and keeps it for the rig.
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

// claim takes a name that only one process of this network namespace can hold at a time: an abstract unix socket (unix(7)),
// which the kernel releases when the process ends, however that happens.
func claim(name string) (unclaim func(), err error) {
	l, err := net.Listen("unix", "@tcp-proxy-test/"+name)
	if err != nil {
		return nil, fmt.Errorf("claim %s: %w", name, err)
	}
	return func() { l.Close() }, nil
}
