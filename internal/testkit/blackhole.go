package testkit

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
)

// A Blackhole is a TCP address where a connect neither succeeds nor fails: the queue of its listener is full, so the
// kernel drops every further SYN (listen(2), tcp_max_syn_backlog of tcp(7)). The end of the test closes it.
type Blackhole struct {
	Addr netip.AddrPort

	t        testing.TB
	listener *net.TCPListener
	fill     map[netip.AddrPort]bool // the clients that fill the queue, and those that hung in it
	sockets  []int                   // of those that fill it
}

// NewBlackhole makes one at "host:port". The port 0 is one that the kernel gives to no outgoing connection.
func NewBlackhole(t testing.TB, address string) *Blackhole {
	t.Helper()
	b := &Blackhole{t: t, fill: map[netip.AddrPort]bool{}}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	if port == "0" {
		b.listener = ListenLow(t, host)
	} else {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		b.listener = l.(*net.TCPListener)
	}
	t.Cleanup(b.Close)
	b.Addr = b.listener.Addr().(*net.TCPAddr).AddrPort()
	raw, err := b.listener.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var listenErr error
	err = raw.Control(func(fd uintptr) { listenErr = unix.Listen(int(fd), 0) })
	if err := errors.Join(err, listenErr); err != nil {
		t.Fatalf("listen with a queue for one: %v", err)
	}
	for b.connect() {
	}
	return b
}

// connect reports whether a client got into the queue. On loopback the handshake is over before connect(2) returns, so
// one that is not over a moment later hangs.
func (b *Blackhole) connect() bool {
	b.t.Helper()
	family, to := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(b.Addr.Port()), Addr: b.Addr.Addr().As16()})
	if b.Addr.Addr().Is4() {
		family, to = unix.AF_INET, &unix.SockaddrInet4{Port: int(b.Addr.Port()), Addr: b.Addr.Addr().As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := unix.Connect(fd, to); err != nil && err != unix.EINPROGRESS {
		unix.Close(fd)
		b.t.Fatalf("fill the queue of %v: %v", b.Addr, err)
	}
	own, err := unix.Getsockname(fd)
	if err != nil {
		b.t.Fatal(err)
	}
	b.fill[addrPort(own)] = true
	established := false
	Within(50*time.Millisecond, func() bool {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		n, _ := unix.Poll(p, 0)
		established = n == 1
		return established
	})
	if established {
		b.sockets = append(b.sockets, fd)
	} else {
		unix.Close(fd)
	}
	return established
}

func addrPort(a unix.Sockaddr) netip.AddrPort {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// Open makes room in the queue and returns the first connection that did not fill it. A client that was dropped comes
// when its kernel tries again, after a second. The caller closes the connection.
func (b *Blackhole) Open() net.Conn {
	b.t.Helper()
	b.release()
	b.listener.SetDeadline(time.Now().Add(Timeout))
	for {
		c, err := b.listener.Accept()
		if err != nil {
			b.t.Fatal(err)
		}
		if !b.fill[c.RemoteAddr().(*net.TCPAddr).AddrPort()] {
			return c
		}
		c.Close()
	}
}

// Close makes the address refuse.
func (b *Blackhole) Close() {
	b.listener.Close()
	b.release()
}

func (b *Blackhole) release() {
	for _, fd := range b.sockets {
		unix.Close(fd)
	}
	b.sockets = nil
}

// ListenLow listens on a port below those that the kernel gives to outgoing connections (ip_local_port_range of ip(7)),
// until the end of the test. Nobody connects to such a port by chance once it is closed. It skips the test on a machine
// without the address.
func ListenLow(t testing.TB, host string) *net.TCPListener {
	t.Helper()
	for range 100 {
		port := 10_000 + rand.IntN(20_000) // not one that another test has just left
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		switch {
		case err == nil:
			t.Cleanup(func() { l.Close() })
			return l.(*net.TCPListener)
		case errors.Is(err, unix.EADDRNOTAVAIL), errors.Is(err, unix.EAFNOSUPPORT):
			t.Skipf("no address %s: %v", host, err)
		case !errors.Is(err, unix.EADDRINUSE):
			t.Fatal(os.NewSyscallError("listen", err))
		}
	}
	t.Fatal("no port is free")
	return nil
}

// Reset closes a TCP connection with a reset (SO_LINGER of socket(7)).
func Reset(c net.Conn) error {
	// It fails on a connection that is closed already, and so does Close.
	return errors.Join(c.(*net.TCPConn).SetLinger(0), c.Close())
}
