package loop

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/config"
	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/reactor"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/relay/enginetest"
	"tcp-proxy/internal/relay/session"
	"tcp-proxy/internal/upstream"
)

// still is a loop that does not run: the test makes its turns.
type still struct {
	*testing.T
	*loop
	port   *relay.Port
	failed int // connects
	ended  []relay.Record
}

func newStill(t *testing.T, targets ...config.Target) *still {
	t.Helper()
	s := &still{T: t, port: relay.NewPort("port", nil)}
	events := enginetest.NoEvents()
	events.Ended = func(r *relay.Record) { s.ended = append(s.ended, *r) }
	events.ConnectFailed = func(*relay.Route, *upstream.Target, error, bool) { s.failed++ }
	e := &Engine{workers: admit.NewWorkers(1 << 20), base: time.Now(), ephemeral: math.MaxUint16, events: events}
	var err error
	if s.loop, err = newLoop(e, 0); err != nil {
		t.Fatal(err)
	}
	e.loops = []*loop{s.loop}
	s.loop.attempts = attemptsPerTurn
	t.Cleanup(func() {
		if err := errors.Join(s.loop.free()); err != nil {
			t.Error(err)
		}
	})
	s.port.Route.Store(&relay.Route{Targets: upstream.NewSet(targets, upstream.Policy{Retry: time.Hour}, nil), ConnectTimeout: time.Hour})
	return s
}

// session begins one, and returns the client.
func (s *still) session() (client int) {
	s.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { unix.Close(pair[0]) })
	s.engine.workers.TryAcquire()
	s.engine.open.Enter()
	s.open.Add(1)
	s.begin(pair[1], s.port, &unix.RawSockaddrAny{Addr: unix.RawSockaddr{Family: unix.AF_UNIX}}, s.engine.clock())
	return pair[0]
}

// missing gives targets to which a connect fails at once.
func missing(n int) (targets []config.Target) {
	for i := range n {
		a := config.Address{Network: "unix", Path: fmt.Sprintf("/nonexistent/%d", i)}
		targets = append(targets, config.Target{Address: a, Weight: 1})
	}
	return targets
}

// Connects that fail at once leave others their turn, however many targets there are and however many sessions try them.
func TestConnectsThatFailAtOnceAreBounded(t *testing.T) {
	const targets, sessions = 100, 20
	s := newStill(t, missing(targets)...)
	for i := range sessions {
		s.session()
		if most := min(attemptsInARow*(i+1), attemptsPerTurn); s.failed != most {
			t.Fatalf("%d sessions have made %d connects, want %d", i+1, s.failed, most)
		}
	}
	turns := 0
	for ; len(s.ended) < sessions; turns++ {
		if turns > sessions*targets {
			t.Fatal("it does not come to an end")
		}
		before := s.failed
		s.loop.attempts = attemptsPerTurn
		s.work()
		if n := s.failed - before; n > attemptsPerTurn {
			t.Fatalf("%d connects in a turn", n)
		}
		if len(s.ended) < sessions && s.timeout() != 0 {
			t.Fatal("the loop waits, and a session has targets to try")
		}
	}
	if s.failed != sessions*targets || turns < sessions*targets/attemptsPerTurn-1 {
		t.Errorf("%d connects in %d turns", s.failed, turns)
	}
	for _, r := range s.ended {
		if r.Cause != relay.ConnectFailed || r.Attempts != targets {
			t.Errorf("%+v", r)
		}
	}
}

// A session that has many targets to try ends when its client resets, and when it has been open for too long.
func TestEndWhileChoosing(t *testing.T) {
	s := newStill(t, missing(100)...)
	route := *s.port.Route.Load()
	route.MaxDuration = time.Minute
	s.port.Route.Store(&route)
	for _, want := range []relay.Cause{relay.ClientReset, relay.MaxDuration} {
		s.ended, s.loop.attempts = nil, attemptsPerTurn
		s.session()
		x := s.sessions.At(0)
		if x.Phase != session.Choosing {
			t.Fatalf("the session is in phase %d", x.Phase)
		}
		if want == relay.ClientReset {
			s.note(s.eventData(x, client), unix.EPOLLERR)
			s.work()
		} else {
			s.pass(2 * time.Minute)
		}
		if len(s.ended) != 1 || s.ended[0].Cause != want || s.ended[0].Attempts != attemptsInARow {
			t.Errorf("%+v, want %s", s.ended, want)
		}
	}
}

// What is done to all sessions is done over several turns, to each of them once, and other commands come in between.
func TestSweepsAreBounded(t *testing.T) {
	s := newStill(t, config.Target{Address: config.Address{Network: "unix", Path: "/nonexistent"}, MaxSessions: 1, Weight: 1})
	s.port.Route.Load().Targets.Pick(&upstream.Attempts{}, netip.Addr{}) // so that the others wait
	const sessions = 5 * sweepStride
	for range sessions {
		s.session()
	}
	seen := map[int32]int{}
	swept := s.engine.onSessions(func(l *loop, x *sessionHot) {
		seen[x.id]++
		time.Sleep(time.Duration(reactor.Slice) / sweepStride)
	})[0]
	between := 0
	for turn := 1; turn <= 5; turn++ {
		s.reactor.Post(func() { between++ })
		s.reactor.RunCommands()
		if len(seen) > turn*sweepStride || between < turn-1 {
			t.Fatalf("%d sessions after %d turns, and %d other commands", len(seen), turn, between)
		}
	}
	for turn := 0; len(seen) < sessions && turn < sessions; turn++ {
		s.reactor.RunCommands()
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("session %d was seen %d times", id, n)
		}
	}
	s.reactor.RunCommands()
	select {
	case <-swept:
	default:
		t.Error("nobody is told that all were seen")
	}
	s.engine.End(relay.Stopped)
	for turn := 0; len(s.ended) < sessions && turn < sessions; turn++ {
		s.reactor.RunCommands()
	}
	if len(seen) != sessions || len(s.ended) != sessions {
		t.Errorf("%d sessions of %d were seen, %d ended", len(seen), sessions, len(s.ended))
	}
}

// A session that begins after it was said that all shall end goes on.
func TestEndIsForThoseThatAreThere(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	address := config.Address{Network: "unix", Path: l.Addr().String()}
	s := newStill(t, config.Target{Address: address, Weight: 1})
	to := s.port.Route.Load().Targets.All()[0]
	for _, end := range []func(){
		func() { s.engine.End(relay.Stopped) },
		func() { s.engine.EndTarget(to, relay.TargetDead) },
	} {
		s.ended = nil
		s.session()
		end()
		time.Sleep(time.Microsecond) // the clock goes on
		s.session()
		s.reactor.RunCommands()
		if len(s.ended) != 1 || to.Sessions() != 1 {
			t.Errorf("%d sessions have ended, %d go on", len(s.ended), to.Sessions())
		}
		s.engine.End(relay.Stopped)
		s.reactor.RunCommands()
	}
}

// What a client has sent already is not sent to a target that then cannot be registered: the next one gets all of it.
func TestNothingIsSentToATargetThatCannotBeRegistered(t *testing.T) {
	l, addr := listenTCP(t)
	s := newStill(t, config.Target{Address: config.Address{Network: "tcp", Host: "127.0.0.1", Port: uint16(addr.Port)}, Weight: 1})
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	unix.Write(pair[0], []byte("early"))
	s.engine.workers.TryAcquire()
	s.engine.open.Enter()
	s.open.Add(1)
	x := s.sessions.take()
	x.side[client] = side{fd: int32(pair[1]), mark: isUnix | readUntilEAGAIN}
	c := s.cold(x)
	c.port = s.port
	c.Begin(&x.State, s.nextID(), s.port.Route.Load(), &s.engine.events, s.engine.clock())
	c.OnAccept(netip.AddrPort{}, true, pair[1])
	to, _ := c.Pick(s.engine.clock())
	real := s.reactor.Epoll
	s.reactor.Epoll = &linux.Epoll{} // standard input, which is none
	err = s.connect(x, target, to)
	s.reactor.Epoll = real
	if err == nil {
		t.Fatal("the socket could be registered")
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	if n, err := conn.Read(make([]byte, 10)); n > 0 || err == nil {
		t.Errorf("%d bytes were sent", n)
	}
	if string(c.held[client]) != "early" || x.flow[client].pending != 5 || x.flow[client].moved != 0 {
		t.Errorf("%q is held for the next target", c.held[client])
	}
	s.do(x, c.End(relay.Internal, err))
}

// Ports that back off are registered again over several turns, each of them once.
func TestPortsThatBackOffComeBack(t *testing.T) {
	s := newStill(t)
	const ports = 2*acceptsPerTurn + 1
	s.now = s.engine.clock()
	for i := range ports {
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		s.acceptors = append(s.acceptors, &acceptor{listener: &listener{fd: fd, number: uint32(i)}, state: acceptorBackingOff, until: s.now - int64(i)})
	}
	s.backingOff = ports
	for turn := 1; turn <= 3; turn++ {
		s.retryAccepting()
		left := max(0, ports-turn*acceptsPerTurn)
		if s.backingOff != left || left > 0 && s.timeout() != 0 {
			t.Fatalf("after %d turns %d ports back off, want %d", turn, s.backingOff, left)
		}
	}
}

// Pipes that are stuck are emptied over several turns.
func TestPipesThatAreStuckAreEmptiedBitByBit(t *testing.T) {
	s := newStill(t)
	const flows = 2*unloadsPerTurn + 1
	s.now = s.engine.clock()
	var sessions []*sessionHot
	for range flows {
		x := s.sessions.take()
		x.Phase = session.Relaying
		if !s.pipes.take(x, client, s.now) {
			t.Fatal("there is no pipe")
		}
		f := &x.flow[client]
		n, err := unix.Write(s.pipes.in(f), []byte("stuck"))
		if err != nil {
			t.Fatal(err)
		}
		f.pending = int32(n)
		s.pipes.stall(f, s.now)
		sessions = append(sessions, x)
	}
	s.now += 2 * tidyInterval
	for turn := 1; turn <= 3; turn++ {
		s.tidyPipes()
		emptied := 0
		for _, x := range sessions {
			if held := s.sessions.cold(x).held[client]; x.flow[client].pipe == 0 && string(held) == "stuck" {
				emptied++
			}
		}
		if want := min(flows, turn*unloadsPerTurn); emptied != want || (emptied < flows) != (s.pipes.next() <= s.now) {
			t.Fatalf("after %d turns %d pipes are empty, want %d", turn, emptied, want)
		}
	}
	s.pipes.trim(0)
}

// With a worker that it has waited for an acceptor takes no more connections in a turn than after an event, and never none.
func TestAGrantRespectsTheBatch(t *testing.T) {
	for _, c := range []struct {
		name           string
		batch, accepts int // of the turn
		want           int
	}{
		{"a small batch", 3, acceptsPerTurn, 3},
		{"a large batch", 65, acceptsPerTurn, 20},
		{"little is left of the turn", 65, 2, 2},
		{"nothing is left of the turn", 65, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			const clients = 20
			s := newStill(t, config.Target{Address: config.Address{Network: "unix", Path: "/nonexistent"}, MaxSessions: 1, Weight: 1})
			s.port.Route.Load().Targets.Pick(&upstream.Attempts{}, netip.Addr{}) // so that sessions wait
			ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
			if err != nil {
				t.Fatal(err)
			}
			s.port.Listener = ln
			x, err := newListener(s.port)
			if err != nil {
				t.Fatal(err)
			}
			defer x.close()
			for range clients {
				conn, err := net.Dial("unix", ln.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
			}
			workers := admit.NewWorkers(1)
			s.engine.workers = workers
			workers.TryAcquire()
			if err := s.openAcceptor(x); err != nil {
				t.Fatal(err)
			}
			a := s.acceptors[x.number]
			s.acceptFrom(a)
			if a.state != acceptorWaiting || s.open.Load() != 0 {
				t.Fatalf("without a worker %d connections are accepted (state %d)", s.open.Load(), a.state)
			}
			s.batch, s.accepts = c.batch, c.accepts
			workers.Resize(1000)
			s.reactor.RunCommands()
			if n := int(s.open.Load()); n != c.want || workers.Busy() != 1+n || a.state != acceptorRegistered {
				t.Errorf("%d connections are accepted, want %d; %d workers are busy (state %d)", n, c.want, workers.Busy(), a.state)
			}
			for s.batch, s.accepts = clients, acceptsPerTurn; s.open.Load() < clients; {
				before := s.open.Load()
				if s.acceptFrom(a); s.open.Load() == before {
					t.Fatal("the others are not accepted")
				}
			}
			s.closeAcceptor(x)
			s.engine.End(relay.Stopped)
			for range clients {
				s.reactor.RunCommands()
			}
			if len(s.ended) != clients || workers.Busy() != 1 {
				t.Errorf("%d sessions have ended, %d workers are busy", len(s.ended), workers.Busy())
			}
		})
	}
}
