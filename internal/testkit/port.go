package testkit

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
)

// The range of Port: below the ports that the kernel gives to outgoing connections (ip(7), ip_local_port_range), and apart
// from those of the harness of the black-box tests.
const (
	firstPort = 29001
	lastPort  = 32000
)

var ports atomic.Int64

// Port returns a port that no socket of this machine uses at any address, and that no other call returns until the test has
// ended, in this process or another.
func Port(t testing.TB) uint16 {
	t.Helper()
	const span = lastPort - firstPort
	start := (os.Getpid()*97 + int(ports.Add(1))*7) % span
	for i := range span {
		port := firstPort + (start+i)%span
		held, err := net.Listen("unix", fmt.Sprintf("@tcp-proxy-test/port-%d", port)) // one process at a time can hold it
		if err != nil {
			continue
		}
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			held.Close()
			continue
		}
		l.Close()
		t.Cleanup(func() { held.Close() })
		return uint16(port)
	}
	t.Fatal("every port is in use")
	return 0
}
