package enginetest

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/linux"
)

// hole is an address where a connect neither succeeds nor fails: its backlog is full (listen(2)).
type hole struct {
	t        *testing.T
	addr     netip.AddrPort
	listener *net.TCPListener
	full     []net.Conn // what fills it
}

func newHole(t *testing.T, host string) *hole {
	t.Helper()
	l := listenLow(t, host)
	h := &hole{t: t, addr: l.Addr().(*net.TCPAddr).AddrPort(), listener: l.(*net.TCPListener)}
	t.Cleanup(h.close)
	if err := linux.Control(l, func(fd int) error { return os.NewSyscallError("listen", unix.Listen(fd, 0)) }); err != nil {
		t.Fatal(err)
	}
	for hung := 0; hung < 2; {
		c, err := net.DialTimeout("tcp", h.addr.String(), 200*time.Millisecond)
		if err != nil {
			hung++
			continue
		}
		h.full = append(h.full, c)
	}
	return h
}

// listenLow listens on a port below those that the kernel gives to connections (ip_local_port_range of ip(7)).
func listenLow(t *testing.T, host string) net.Listener {
	t.Helper()
	for range 100 {
		port := 10_000 + rand.IntN(20_000) // not one that another test has just left
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		switch {
		case err == nil:
			t.Cleanup(func() { l.Close() })
			return l
		case errors.Is(err, unix.EADDRNOTAVAIL), errors.Is(err, unix.EAFNOSUPPORT):
			t.Skipf("no IPv6: %v", err)
		case !errors.Is(err, unix.EADDRINUSE):
			t.Fatal(err)
		}
	}
	t.Fatal("no port is free")
	return nil
}

// address is the hole as a target.
func (h *hole) address() config.Address {
	return config.Address{Network: "tcp", Host: h.addr.Addr().String(), Port: h.addr.Port()}
}

// open makes room, and returns the first connection that did not fill the hole.
func (h *hole) open() net.Conn {
	h.t.Helper()
	fills := map[string]bool{}
	for _, c := range h.full {
		fills[c.LocalAddr().String()] = true
		c.Close()
	}
	h.listener.SetDeadline(time.Now().Add(deadline))
	for {
		c, err := h.listener.Accept()
		if err != nil {
			h.t.Fatal(err)
		}
		if !fills[c.RemoteAddr().String()] {
			return c
		}
		c.Close()
	}
}

// close has it refuse.
func (h *hole) close() {
	h.listener.Close()
	for _, c := range h.full {
		c.Close()
	}
}
