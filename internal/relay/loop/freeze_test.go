package loop

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/config"
	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/relay/enginetest"
	"tcp-proxy/internal/relay/session"
	"tcp-proxy/internal/testkit"
	"tcp-proxy/internal/upstream"
)

// The clock of an engine is CLOCK_MONOTONIC, so that times mean the same to another one.
func TestClockIsMonotonic(t *testing.T) {
	for range 100 {
		e := Engine{base: clockBase()}
		var before, after unix.Timespec
		unix.ClockGettime(unix.CLOCK_MONOTONIC, &before)
		now := e.clock()
		unix.ClockGettime(unix.CLOCK_MONOTONIC, &after)
		if now < before.Nano()-int64(time.Millisecond) || now > after.Nano()+int64(time.Millisecond) {
			t.Fatalf("the clock shows %d between %d and %d", now, before.Nano(), after.Nano())
		}
		if apart := time.Since(e.moment(now)).Abs(); apart > time.Second {
			t.Fatalf("a moment is %v away", apart)
		}
	}
}

// A port on which accept fails is one on which it fails in the next engine: that it works again is reported once.
func TestFailingPortIsAdopted(t *testing.T) {
	resumed := make(chan time.Duration, 2)
	events := relay.Events{
		AcceptFailing: func(*relay.Port, error) {},
		AcceptResumed: func(_ *relay.Port, after time.Duration) { resumed <- after },
		Ended:         func(*relay.Record) {},
	}
	workers := admit.NewWorkers(1)
	first, err := New(workers, events)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := relay.NewPort("port", l)
	p.Route.Store(&relay.Route{Targets: upstream.NewSet(nil, upstream.Policy{}, nil)})
	if err := first.Open(p); err != nil {
		t.Fatal(err)
	}
	first.failed(first.ports[p], unix.EMFILE)
	f, err := first.Freeze()
	if err != nil || len(f.Ports) != 1 || f.Ports[0].FailingSince.IsZero() {
		t.Fatalf("%+v, %v", f, err)
	}
	since := time.Now().Add(-time.Hour)
	f.Ports[0].FailingSince = since
	next, err := New(workers, events)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := next.Adopt(f); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err == nil { // it has no target, and may be reset as early as in its connect
			c.Read(make([]byte, 1))
			c.Close()
		} else if !errors.Is(err, unix.ECONNRESET) {
			t.Fatal(err)
		}
	}
	if after := testkit.Receive(t, "accepting is reported to work", resumed); after < time.Hour || after > 2*time.Hour {
		t.Errorf("accepting failed for %v", after)
	}
	if len(resumed) > 0 {
		t.Error("it is reported twice")
	}
	if err := errors.Join(next.Close(p), next.Wait(t.Context()), next.Stop()); err != nil {
		t.Error(err)
	}
}

// A walk through the sessions that has begun goes to its end before they are frozen: nobody waits for the rest of it.
func TestWalkEndsBeforeTheFreeze(t *testing.T) {
	s := newStill(t, missing(1)...)
	s.waiting(10 * sweepStride)
	visited := 0
	done := s.engine.onSessions(func(*loop, *sessionHot) {
		visited++
		for begun := time.Now(); time.Since(begun) < 100*time.Microsecond; {
		}
	})
	s.reactor.Post(func() { s.stopping = true })
	s.run()
	select {
	case <-done[0]:
	default:
		t.Error("it has not ended")
	}
	if visited != 10*sweepStride {
		t.Errorf("%d sessions were visited", visited)
	}
	s.engine.End(relay.Stopped)
	s.reactor.RunCommands()
}

// toListener is a loop that does not run, whose target listens, and accepts and reads nothing.
func toListener(t *testing.T) (s *still, target *net.TCPListener) {
	t.Helper()
	target = testkit.ListenLow(t, "127.0.0.1")
	return newStill(t, targetAt(target)), target
}

func targetAt(l *net.TCPListener) config.Target {
	return config.Target{Weight: 1, Address: config.Address{Network: "tcp", Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).AddrPort().Port()}}
}

// openEngine is an engine with a port, whose sessions go to a target that listens.
func openEngine(tb testing.TB, workers *admit.Workers, events relay.Events) (e *Engine, p *relay.Port, target *net.TCPListener) {
	tb.Helper()
	e, err := New(workers, events)
	if err != nil {
		tb.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	target = testkit.ListenLow(tb, "127.0.0.1")
	p = relay.NewPort("port", l)
	p.Route.Store(&relay.Route{App: "app", Targets: upstream.NewSet([]config.Target{targetAt(target)}, upstream.Policy{}, nil), IdleTimeout: time.Hour})
	if err := e.Open(p); err != nil {
		tb.Fatal(err)
	}
	return e, p, target
}

// connectTo connects to a port, and accepts what its session connects to the target.
func connectTo(tb testing.TB, p *relay.Port, target *net.TCPListener) (client, server net.Conn) {
	tb.Helper()
	client, err := net.Dial("tcp", p.Address())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { client.Close() })
	if server, err = target.Accept(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { server.Close() })
	return client, server
}

// frozen is what the loop freezes, which is one session.
func (s *still) frozen() *FrozenSession {
	s.Helper()
	f := &Frozen{}
	s.settle()
	s.freeze(f)
	if len(f.Sessions) != 1 {
		s.Fatalf("%+v", f.Sessions)
	}
	return &f.Sessions[0]
}

// adopted has the loop take up a session.
func (s *still) adopted(x *FrozenSession) *sessionHot {
	s.Helper()
	x.Reenter()
	s.engine.workers.Reenter()
	s.engine.open.Enter()
	if err := s.adoptSession(x); err != nil {
		s.Fatal(err)
	}
	return s.sessions.At(s.queue[len(s.queue)-1])
}

// A connect that has succeeded, and of which the loop has not heard, is not given up.
func TestConnectThatIsEstablishedIsKept(t *testing.T) {
	s, _ := toListener(t)
	s.session()
	if h := s.sessions.At(0); h.Phase != session.Connecting {
		t.Fatalf("the session is in phase %v", h.Phase)
	}
	x, next := s.frozen(), newStill(t)
	if x.Phase != session.Relaying || x.Target == nil || x.Side[target].FD < 0 {
		t.Errorf("%+v", x)
	}
	next.do(next.adopted(x), session.Abort)
}

// The memory that pending bytes take is counted, whether they were in a pipe of this loop or are from another.
func TestPendingBytesAreCounted(t *testing.T) {
	s, target := toListener(t)
	s.session()
	x := s.frozen()
	x.Flow[client].Pending = make([]byte, 4*bufferSize)
	s = newStill(t)
	s.adopted(x)
	if s.unloaded != 4*bufferSize {
		t.Errorf("%d bytes are counted", s.unloaded)
	}
	x = s.frozen()
	if n := len(x.Flow[client].Pending); n != 4*bufferSize {
		t.Errorf("%d bytes are pending", n)
	}
	s = newStill(t)
	h := s.adopted(x)
	s.drain(h, target)
	if s.unloaded != 0 || h.flow[client].moved != 4*bufferSize {
		t.Errorf("%d bytes are counted, %d were moved", s.unloaded, h.flow[client].moved)
	}
	s.do(h, session.Abort)
}

// drain has the loop write the pending bytes of a client to the target.
func (s *still) drain(h *sessionHot, target *net.TCPListener) {
	s.Helper()
	server, err := target.Accept()
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { server.Close() })
	server.SetDeadline(time.Now().Add(testkit.Timeout))
	go io.Copy(io.Discard, server)
	testkit.Eventually(s.T, "all is written", func() bool {
		h.side[1].mark &^= full
		s.push(h)
		s.work()
		return h.flow[client].pending == 0
	})
}

// The memory in which pending bytes come is no buffer of the loop's, whatever its size: it may be part of a larger one, and
// read-only.
func TestPendingBytesAreNotWrittenTo(t *testing.T) {
	s, target := toListener(t)
	s.session()
	x := s.frozen()
	given := make([]byte, bufferSize)
	x.Flow[client].Pending = given
	s = newStill(t)
	h := s.adopted(x)
	s.drain(h, target)
	if h.flow[client].moved != bufferSize {
		t.Errorf("%d bytes were moved", h.flow[client].moved)
	}
	s.do(h, session.Abort)
	for range 2 {
		if b := append(s.takeBuffer(), 1); &b[0] == &given[0] {
			t.Error("the memory is a buffer of the loop")
		}
	}
}

// What a session from this machine has dialled is known to the next engine: the connection is recognised should it come back.
func TestDialledConnectionIsKnownAfterAdoption(t *testing.T) {
	events := enginetest.NoEvents()
	events.Own = &relay.Own{}
	workers := admit.NewWorkers(1)
	first, p, target := openEngine(t, workers, events)
	_, server := connectTo(t, p, target)
	known := func() bool {
		var circle *relay.Dialled
		err := linux.Control(server, func(fd int) error {
			circle = events.Own.Accepted(&relay.Origin{}, "app", server.RemoteAddr().(*net.TCPAddr).AddrPort(), fd)
			return nil
		})
		return err == nil && circle != nil
	}
	testkit.Eventually(t, "the connection is known", known)
	f, err := first.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	if known() {
		t.Error("an engine that was frozen has dialled")
	}
	next, err := New(workers, events)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := next.Adopt(f); err != nil || a.Sessions != 1 {
		t.Fatalf("%+v, %v", a, err)
	}
	if !known() {
		t.Error("the connection is not known")
	}
	next.End(relay.Stopped)
	if err := errors.Join(next.Close(p), next.Wait(t.Context()), next.Stop()); err != nil {
		t.Error(err)
	}
	if known() {
		t.Error("a session that has ended has dialled")
	}
}

// Why a session is lost is told by the error of watching its socket (epoll_ctl(2)).
func TestLosses(t *testing.T) {
	for errno, want := range map[syscall.Errno]Loss{
		unix.EBADF: LostDescriptor, unix.EPERM: LostDescriptor, unix.ENOMEM: LostMemory, unix.ENOSPC: LostWatches, unix.EEXIST: LostOther,
	} {
		if got := lossOf(fmt.Errorf("continue the session: %w", os.NewSyscallError("epoll_ctl", errno))); got != want {
			t.Errorf("%v: %s, want %s", errno, got, want)
		}
	}
}

// BenchmarkFreeze is a Freeze and the Adopt after it, of sessions that are idle.
func BenchmarkFreeze(b *testing.B) {
	const sessions = 1000
	workers := admit.NewWorkers(sessions)
	e, p, target := openEngine(b, workers, enginetest.NoEvents())
	for range sessions {
		connectTo(b, p, target)
	}
	for b.Loop() {
		f, err := e.Freeze()
		if err != nil {
			b.Fatal(err)
		}
		if e, err = New(workers, enginetest.NoEvents()); err != nil {
			b.Fatal(err)
		}
		if a, err := e.Adopt(f); err != nil || a.Sessions != sessions {
			b.Fatalf("%+v, %v", a, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/sessions, "µs/session")
	e.End(relay.Stopped)
	if err := errors.Join(e.Close(p), e.Wait(b.Context()), e.Stop()); err != nil {
		b.Error(err)
	}
}
