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
	"tcp-proxy/internal/relay"
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
	e := &Engine{workers: admit.NewWorkers(1 << 20), base: time.Now(), ephemeral: math.MaxUint16, events: relay.Events{
		Ended:         func(r *relay.Record) { s.ended = append(s.ended, *r) },
		ConnectFailed: func(*relay.Route, *upstream.Target, error, bool) { s.failed++ },
		TargetBack:    func(*relay.Route, *upstream.Target) {},
		Connected:     func(*relay.Route) {},
		Short:         func(relay.Lack, *relay.Route, error) {},
		Works:         func(relay.Lack, *relay.Route) {},
		Demoted:       func(*relay.Route, *upstream.Target) {},
	}}
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
		if len(s.ended) < sessions && s.patience() != 0 {
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
		x := s.slab.at(0)
		if x.state != choosing {
			t.Fatalf("the session is in state %d", x.state)
		}
		if want == relay.ClientReset {
			s.note(eventData(x, client), unix.EPOLLERR)
			s.work()
		} else {
			s.now += int64(2 * time.Minute)
			s.expire()
		}
		if len(s.ended) != 1 || s.ended[0].Cause != want || s.ended[0].Attempts != attemptsInARow {
			t.Errorf("%+v, want %s", s.ended, want)
		}
	}
}

// Orders that take their time are done over several turns, in order.
func TestOrdersAreBounded(t *testing.T) {
	s := newStill(t)
	done := 0
	for i := range 5 {
		s.inbox.post(func() {
			if done != i {
				t.Errorf("order %d is done as number %d", i, done)
			}
			done++
			time.Sleep(time.Duration(slice))
		})
	}
	for i := 1; i <= 5; i++ {
		s.obey()
		if done != i || s.inbox.left() != (i < 5) || i < 5 && s.patience() != 0 {
			t.Fatalf("after %d turns %d orders are done", i, done)
		}
	}
}

// What is done to all sessions is done over several turns, to each of them once, and other orders come in between.
func TestSweepsAreBounded(t *testing.T) {
	s := newStill(t, config.Target{Address: config.Address{Network: "unix", Path: "/nonexistent"}, MaxSessions: 1, Weight: 1})
	s.port.Route.Load().Targets.Pick(&upstream.Attempts{}, netip.Addr{}) // so that the others wait
	const sessions = 5 * sweepStride
	for range sessions {
		s.session()
	}
	seen := map[int32]int{}
	swept := s.engine.onSessions(func(l *loop, x *session) {
		seen[x.id]++
		time.Sleep(time.Duration(slice) / sweepStride)
	})[0]
	between := 0
	for turn := 1; turn <= 5; turn++ {
		s.inbox.post(func() { between++ })
		s.obey()
		if len(seen) > turn*sweepStride || between < turn-1 {
			t.Fatalf("%d sessions after %d turns, and %d other orders", len(seen), turn, between)
		}
	}
	for turn := 0; len(seen) < sessions && turn < sessions; turn++ {
		s.obey()
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("session %d was seen %d times", id, n)
		}
	}
	s.obey()
	select {
	case <-swept:
	default:
		t.Error("nobody is told that all were seen")
	}
	s.engine.End(relay.Stopped)
	for turn := 0; len(s.ended) < sessions && turn < sessions; turn++ {
		s.obey()
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
		s.obey()
		if len(s.ended) != 1 || to.Sessions() != 1 {
			t.Errorf("%d sessions have ended, %d go on", len(s.ended), to.Sessions())
		}
		s.engine.End(relay.Stopped)
		s.obey()
	}
}

// Timers that are due at the same time are looked at over several turns, as far as that takes time.
func TestTimersAreBounded(t *testing.T) {
	var b slab
	var w wheel
	w.init(&b, 0)
	const sessions = 100
	for i := range sessions {
		s := b.take()
		s.state = relaying
		w.arm(s, int64(time.Second)+int64(i%3)*tick)
	}
	late := b.take()
	late.state = relaying
	w.arm(late, int64(time.Hour))
	met := 0
	now := int64(2 * time.Second)
	for range sessions/7 + 1 {
		before := met
		w.advance(now, func(s *session) bool {
			met++
			if met == 1 {
				w.arm(s, now+int64(time.Second)) // what is armed meanwhile is another moment
			}
			return met-before < 7
		})
		if met < sessions && (met-before != 7 || w.next() > now) {
			t.Fatalf("%d were met at a time, the next is at %v", met-before, time.Duration(w.next()))
		}
	}
	if met != sessions || w.next() <= now {
		t.Errorf("%d were met of %d, the next is at %v", met, sessions, time.Duration(w.next()))
	}
	w.advance(int64(3*time.Second)+tick, func(*session) bool { met++; return true })
	if met != sessions+1 {
		t.Errorf("%d were met, with the one that was armed again", met)
	}
}

// A wheel that stands still for longer than anybody lives goes on at once, and nothing is met twice, forgotten or early.
func TestWheelAfterALongTime(t *testing.T) {
	for _, asleep := range []int64{slots * tick, slots*slots*tick - tick, slots * slots * tick, int64(30 * 24 * time.Hour), math.MaxInt64 / 4} {
		var b slab
		var w wheel
		w.init(&b, 0)
		due := map[int32]int64{}
		for _, at := range []int64{1, tick, 255 * tick, 256 * tick, 300 * tick, 65535 * tick, 65536 * tick, asleep - 1, asleep, asleep + 1,
			asleep + tick, asleep + 1000*tick, asleep + 1e6*tick} {
			s := b.take()
			s.state = relaying
			w.arm(s, at)
			due[s.id] = at
		}
		for now := asleep; len(due) > 0; now = w.next() {
			if now < 0 {
				t.Fatalf("%v: %d are forgotten", time.Duration(asleep), len(due))
			}
			w.advance(now, func(s *session) bool {
				if at, ok := due[s.id]; !ok || at > now {
					t.Errorf("%v: a moment at %v is met at %v (%v)", time.Duration(asleep), time.Duration(at), time.Duration(now), ok)
				}
				delete(due, s.id)
				return true
			})
			for _, at := range due {
				if at <= now-tick {
					t.Errorf("%v: a moment at %v is not met at %v", time.Duration(asleep), time.Duration(at), time.Duration(now))
				}
			}
		}
	}
}

// What a client has sent already is not sent to a target that then cannot be watched: the next one gets all of it.
func TestNothingIsSentToATargetThatCannotBeWatched(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := l.Addr().(*net.TCPAddr)
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
	x := s.slab.take()
	x.state = choosing
	x.side[client] = side{fd: int32(pair[1]), mark: isUnix | chatty}
	b := s.slab.besideOf(x)
	b.port, b.route = s.port, s.port.Route.Load()
	b.approach.Begin(b.route, &s.engine.events)
	b.approach.Admit(netip.Addr{})
	to, _, _ := b.approach.Next()
	real := s.loop.epoll
	s.loop.epoll = &linux.Epoll{} // standard input, which is none
	err = s.try(x, b, target, to)
	s.loop.epoll = real
	if err == nil {
		t.Fatal("the socket could be watched")
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	if n, err := c.Read(make([]byte, 10)); n > 0 || err == nil {
		t.Errorf("%d bytes were sent", n)
	}
	if string(b.held[client]) != "early" || x.flow[client].pending != 5 || x.flow[client].moved.Load() != 0 {
		t.Errorf("%q is held for the next target", b.held[client])
	}
	s.end(x, relay.Internal, err)
}

// Ports that rest are watched again over several turns, each of them once.
func TestPortsThatRestComeBack(t *testing.T) {
	s := newStill(t)
	const ports = 2*acceptsPerTurn + 1
	s.now = s.engine.clock()
	for i := range ports {
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		s.doors = append(s.doors, &door{listener: &listener{fd: fd, number: uint32(i)}, state: resting, until: s.now - int64(i)})
	}
	s.resting = ports
	for turn := 1; turn <= 3; turn++ {
		s.reopen()
		left := max(0, ports-turn*acceptsPerTurn)
		if s.resting != left || left > 0 && s.patience() != 0 {
			t.Fatalf("after %d turns %d ports rest, want %d", turn, s.resting, left)
		}
	}
}

// Pipes that are stuck are emptied over several turns.
func TestPipesThatAreStuckAreEmptiedBitByBit(t *testing.T) {
	s := newStill(t)
	const flows = 2*unloadsPerTurn + 1
	s.now = s.engine.clock()
	var sessions []*session
	for range flows {
		x := s.slab.take()
		x.state = relaying
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
			if held := s.slab.besideOf(x).held[client]; x.flow[client].pipe == 0 && string(held) == "stuck" {
				emptied++
			}
		}
		if want := min(flows, turn*unloadsPerTurn); emptied != want || (emptied < flows) != (s.pipes.next() <= s.now) {
			t.Fatalf("after %d turns %d pipes are empty, want %d", turn, emptied, want)
		}
	}
	s.pipes.trim(0)
}

// What is posted while orders from before are still to be done is done after them: the bell has rung for it, and will not
// ring again before it is fetched.
func TestOrdersAreNotForgotten(t *testing.T) {
	s := newStill(t)
	done := ""
	post := func(name string) {
		s.inbox.post(func() {
			done += name
			for end := s.engine.clock() + slice; s.engine.clock() < end; { // a slice for each
			}
		})
	}
	post("a")
	post("b")
	s.obey()
	post("c") // its bell rings in the turn of b
	for range 10 {
		if s.inbox.left() { // what has the loop obey without a bell
			s.obey()
		}
	}
	if done != "abc" {
		t.Errorf("done: %q", done)
	}
}
