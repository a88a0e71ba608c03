package loop

import (
	"errors"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/relay/session"
	"tcp-proxy/internal/testkit"
	"tcp-proxy/internal/upstream"
)

func listenTCP(t *testing.T) (net.Listener, *net.TCPAddr) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, l.Addr().(*net.TCPAddr)
}

// The connection of an attempt that is given up is reset, if it is established by then: its target must not take it for one
// that ended in good order.
func TestAttemptThatIsGivenUpIsReset(t *testing.T) {
	l, addr := listenTCP(t)
	fd, errno := linux.Socket(unix.AF_INET)
	if errno != 0 {
		t.Fatal(errno)
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte(addr.IP.To4())}); err != nil && err != unix.EINPROGRESS {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	x := side{fd: int32(fd)}
	x.drop()
	if x.fd != -1 {
		t.Errorf("the side still has descriptor %d", x.fd)
	}
	x.drop() // nothing is left to drop
	c.SetDeadline(time.Now().Add(testkit.Timeout))
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("read = %d, %v; want a reset", n, err)
	}
}

// A target's socket has its keepalive before the session is as old as the shortest one, a second.
func TestKeepaliveOfATargetComesInTime(t *testing.T) {
	_, addr := listenTCP(t)
	s := newStill(t)
	s.port.Route.Store(&relay.Route{
		ConnectTimeout: time.Hour,
		Keepalive:      linux.Keepalive{Enabled: true, Idle: time.Second, Interval: time.Second, Count: 1},
		Targets: upstream.NewSet([]config.Target{
			{Address: config.Address{Network: "tcp", Host: "127.0.0.1", Port: uint16(addr.Port)}, Weight: 1},
		}, upstream.Policy{Retry: time.Hour}, nil),
	})
	s.pass(0)
	s.session()
	x := s.sessions.At(0)
	testkit.Eventually(t, "the target is connected", func() bool {
		events := s.reactor.Wait(0)
		for i := range events {
			s.note(linux.EventData(&events[i]), events[i].Events)
		}
		s.work()
		return x.Phase == session.Relaying
	})
	s.pass(time.Second - time.Duration(s.engine.clock()-x.Connected()) - time.Millisecond)
	if on, err := unix.GetsockoptInt(int(x.side[target].fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE); on != 1 || err != nil {
		t.Errorf("SO_KEEPALIVE is %d, %v", on, err)
	}
	s.engine.End(relay.Stopped)
	s.reactor.RunCommands()
	s.expect(1, relay.Stopped)
}

// A socket that was connected to itself, as happens where nobody listens on a port that the kernel gives to outgoing
// connections, counts as refused.
func TestConnectToItselfIsRefused(t *testing.T) {
	fd, errno := linux.Socket(unix.AF_INET)
	if errno != 0 {
		t.Fatal(errno)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	own, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Connect(fd, own); err != nil && err != unix.EINPROGRESS {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the socket is connected to itself", func() bool { return linux.MetItself(fd) })
	x := side{fd: int32(fd), mark: answered | ephemeral}
	if got := x.connectOutcome(); got != unix.ECONNREFUSED {
		t.Errorf("the outcome is %v", got)
	}
	l, addr := listenTCP(t)
	other, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = linux.Control(other.(*net.TCPConn), func(fd int) error {
		x := side{fd: int32(fd), mark: answered | ephemeral}
		if got := x.connectOutcome(); got != 0 {
			t.Errorf("the outcome of another is %v", got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
