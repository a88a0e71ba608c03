package loop

import (
	"io"
	"net"
	"path/filepath"
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

// pass is as if that much time had passed, of which the loop has missed nothing.
func (s *still) pass(d time.Duration) {
	s.engine.base = s.engine.base.Add(-d)
	s.reactor.Turn(-1)
	s.now = s.reactor.Now()
	s.expire()
}

// standStill is as if the loop had not run for that long.
func (s *still) standStill(d time.Duration) {
	s.engine.base = s.engine.base.Add(-d)
	s.reactor.Turn(0)
	s.wakeUp()
	s.expire()
}

// expect wants so many sessions to have ended, the last of them for that cause.
func (s *still) expect(n int, cause relay.Cause) {
	s.Helper()
	if len(s.ended) != n || n > 0 && s.ended[n-1].Cause != cause {
		s.Fatalf("%d sessions have ended, want %d by %s: %+v", len(s.ended), n, cause, s.ended)
	}
}

// reached is a target for the sessions of a loop that gives them three seconds for everything.
func reached(t *testing.T) (*still, net.Listener) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := newStill(t)
	const limit = 3 * time.Second
	s.port.Route.Store(&relay.Route{ConnectTimeout: limit, IdleTimeout: limit, Targets: upstream.NewSet([]config.Target{
		{Address: config.Address{Network: "unix", Path: l.Addr().String()}, Weight: 1, MaxSessions: 1},
	}, upstream.Policy{Retry: time.Hour}, nil)})
	s.pass(0)
	return s, l
}

// What is over after a standstill has another chance, of a second, and that once in a while: one that is late in every
// turn still ends what is over.
func TestAnotherChanceAfterAStandstill(t *testing.T) {
	s, _ := reached(t)
	s.session() // relays, and is idle
	s.standStill(20 * time.Second)
	s.expect(0, "")
	s.pass(2 * time.Second)
	s.expect(1, relay.IdleTimeout)

	s.session()
	s.standStill(20 * time.Second)
	s.session() // waits for a place
	s.pass(500 * time.Millisecond)
	s.expect(1, relay.IdleTimeout)
	s.pass(time.Second)
	s.expect(2, relay.IdleTimeout) // its slot is the other's, which a command tells
	s.reactor.RunCommands()
	s.standStill(4 * time.Second) // too soon after the chance before
	s.expect(3, relay.IdleTimeout)
}

// A turn that was late, as on a busy machine, takes nothing from a standstill that comes soon after it.
func TestALateTurnTakesNoChance(t *testing.T) {
	s, _ := reached(t)
	s.session()
	s.standStill(session.StoodStill)
	s.standStill(4 * time.Second)
	s.expect(0, "")
	s.standStill(4 * time.Second) // no longer than before
	s.expect(1, relay.IdleTimeout)
}

// What is in a socket when a time-out comes is read before that is believed, though no event has told of it.
func TestATimeoutIsBelievedAfterALook(t *testing.T) {
	s, l := reached(t)
	client := s.session()
	s.work() // finds nothing to read
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := unix.Write(client, []byte("x")); err != nil {
		t.Fatal(err)
	}
	s.pass(4 * time.Second)
	s.expect(0, "")
	c.SetDeadline(time.Now().Add(testkit.Timeout))
	var got [1]byte
	if _, err := c.Read(got[:]); err != nil || got[0] != 'x' {
		t.Errorf("%q, %v", got, err)
	}
	s.pass(2 * time.Second)
	s.expect(0, "")
	s.pass(2 * time.Second)
	s.expect(1, relay.IdleTimeout)
}

// Urgent data before the end of a stream is still relayed when a look finds the end before an event has reported either.
func TestLookFindsUrgentDataBeforeTheEnd(t *testing.T) {
	s, l := reached(t)
	clients, addr := listenTCP(t)
	client, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := clients.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fd := -1
	if err := linux.Control(conn.(*net.TCPConn), func(n int) (err error) { fd, err = unix.Dup(n); return err }); err != nil {
		t.Fatal(err)
	}
	linux.Inline(fd)
	s.engine.workers.TryAcquire()
	s.engine.open.Enter()
	s.open.Add(1)
	var peer unix.RawSockaddrAny
	peer.Addr.Family = unix.AF_INET
	s.begin(fd, s.port, &peer, s.engine.clock())
	s.work() // finds nothing to read
	target, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()

	raw, err := client.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	client.Write([]byte("a"))
	raw.Write(func(n uintptr) bool { err = unix.Send(int(n), []byte("b"), unix.MSG_OOB); return true })
	if err != nil {
		t.Fatal(err)
	}
	client.(*net.TCPConn).CloseWrite()
	testkit.Eventually(t, "the end has arrived", func() bool { return linux.Pending(fd, unix.POLLRDHUP) })
	s.pass(4 * time.Second)
	s.work()
	target.SetDeadline(time.Now().Add(testkit.Timeout))
	if got, err := io.ReadAll(target); string(got) != "ab" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
