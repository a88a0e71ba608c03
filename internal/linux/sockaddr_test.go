package linux

import (
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/testkit"
)

// connectTo connects a new socket, from a source address if that is valid, and waits for the outcome.
func connectTo(t *testing.T, to netip.AddrPort, from netip.Addr) (fd int, outcome syscall.Errno) {
	t.Helper()
	var at unix.RawSockaddrAny
	family, size, err := Sockaddr(&at, to)
	if err != nil {
		t.Fatal(err)
	}
	fd, errno := Socket(family)
	if errno != 0 {
		t.Fatal(errno)
	}
	t.Cleanup(func() { CloseNow(fd) })
	if from.IsValid() {
		if err := BindSource(fd, from); err != nil {
			t.Fatal(err)
		}
	}
	return fd, settle(t, fd, Connect(fd, &at, size))
}

// settle waits for the result of a connect.
func settle(t *testing.T, fd int, errno syscall.Errno) syscall.Errno {
	t.Helper()
	if errno != unix.EINPROGRESS {
		return errno
	}
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	if n, err := unix.Poll(fds, int(testkit.Timeout.Milliseconds())); n != 1 {
		t.Fatalf("poll: %d, %v", n, err)
	}
	return Outcome(fd)
}

func TestConnectToASockaddr(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1", "::ffff:127.0.0.1"} {
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			t.Fatal(err)
		}
		at := netip.AddrPortFrom(netip.MustParseAddr(host), l.Addr().(*net.TCPAddr).AddrPort().Port())
		if _, errno := connectTo(t, at, netip.Addr{}); errno != 0 {
			t.Errorf("%v: %v", at, errno)
		}
		l.Close()
		if _, errno := connectTo(t, at, netip.Addr{}); errno != unix.ECONNREFUSED {
			t.Errorf("%v, where nobody listens: %v", at, errno)
		}
	}
}

func TestBindSource(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	from := netip.MustParseAddr("127.0.0.77")
	if _, errno := connectTo(t, l.Addr().(*net.TCPAddr).AddrPort(), from); errno != 0 {
		t.Fatal(errno)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr(); got != from {
		t.Errorf("connected from %v, want %v", got, from)
	}
	fd, errno := Socket(unix.AF_INET)
	if errno != 0 {
		t.Fatal(errno)
	}
	defer CloseNow(fd)
	if err := BindSource(fd, netip.MustParseAddr("192.0.2.1")); !errors.Is(err, unix.EADDRNOTAVAIL) {
		t.Errorf("an address of another machine: %v", err)
	}
}

func TestSockaddrOfAZone(t *testing.T) {
	var at unix.RawSockaddrAny
	for _, zone := range []string{"lo", "1"} {
		if _, _, err := Sockaddr(&at, netip.MustParseAddrPort("[fe80::1%"+zone+"]:80")); err != nil {
			t.Errorf("zone %s: %v", zone, err)
		}
	}
	if _, _, err := Sockaddr(&at, netip.MustParseAddrPort("[fe80::1%no-such]:80")); err == nil {
		t.Error("an interface that is not there has a number")
	}
}

func TestSockaddrUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var at unix.RawSockaddrAny
	size, err := SockaddrUnix(&at, path)
	if err != nil {
		t.Fatal(err)
	}
	fd, errno := Socket(unix.AF_UNIX)
	if errno != 0 {
		t.Fatal(errno)
	}
	defer CloseNow(fd)
	if errno := Connect(fd, &at, size); errno != 0 {
		t.Error(errno)
	}
	if _, err := SockaddrUnix(&at, strings.Repeat("x", 108)); !errors.Is(err, unix.ENAMETOOLONG) {
		t.Errorf("a path of 108 characters: %v", err)
	}
}

func TestMetItself(t *testing.T) {
	fd, errno := Socket(unix.AF_INET)
	if errno != 0 {
		t.Fatal(errno)
	}
	defer CloseNow(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	own, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	var at unix.RawSockaddrAny
	_, size, err := Sockaddr(&at, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(own.(*unix.SockaddrInet4).Port)))
	if err != nil {
		t.Fatal(err)
	}
	if errno := settle(t, fd, Connect(fd, &at, size)); errno != 0 {
		t.Fatal(errno)
	}
	if !MetItself(fd) {
		t.Error("a socket that is connected to itself")
	}
	c, _ := pair(t)
	if err := raw(t, c).Control(func(fd uintptr) {
		if MetItself(int(fd)) {
			t.Error("a socket that is connected to another")
		}
	}); err != nil {
		t.Fatal(err)
	}
}
