package probe

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/reactor"
	"tcp-proxy/internal/testkit"
	"tcp-proxy/internal/upstream"
)

// greeting probes say "ready" to be seen: a plain connect is not.
func greeting(when string) Config {
	checking := always()
	checking.When, checking.Expect = when, "ready"
	return checking
}

// idle reports whether no check is in flight or to come, and no connection is being closed.
func (p *Prober) idle() bool {
	return p.reactor.Timeout(reactor.Never) < 0 && !p.queue.any() && p.inFlight.used == 0 && len(p.closings) == 0
}

// quiet wants no report, and no check under way or to come.
func (r *rig) quiet() {
	r.t.Helper()
	idle := false
	testkit.Eventually(r.t, "nothing is under way", func() bool {
		r.ask(func() { idle = r.idle() })
		return idle
	})
	select {
	case n := <-r.news:
		r.t.Fatalf("%s: %v (%v)", n.target.Name, n.change, n.err)
	default:
	}
}

func TestOnlyTheDeadAreProbed(t *testing.T) {
	s := serve(t, "tcp", say("ready"))
	r := newRig(t)
	targets := set(t, 2, 1, s.address)
	r.Monitor("app", targets, greeting(config.ProbeDead))
	r.quiet()
	if n := s.Accepted.Load(); n != 0 {
		t.Fatalf("%d checks of a target that is alive", n)
	}
	for round := range 3 {
		targets.All()[0].Failed(false, errTest)
		r.CheckNow(targets.All()[0])
		r.expect(upstream.Back)
		r.quiet()
		if n, want := s.Accepted.Load(), int64(2*(round+1)); n != want {
			t.Fatalf("%d checks, want %d: two for each time that it was dead", n, want)
		}
	}
}

// A check that was under way when a session brought the target back tells nothing of it.
func TestVerdictThatNobodyWaitsFor(t *testing.T) {
	greeted := make(chan net.Conn, 1)
	s := serve(t, "tcp", func(c net.Conn) {
		greeted <- c
		hang(c)
	})
	r := newRig(t)
	targets := set(t, 1, 1, s.address)
	targets.All()[0].Failed(false, errTest)
	r.Monitor("app", targets, greeting(config.ProbeDead))
	c := <-greeted
	targets.All()[0].Connected(0)
	_, _ = io.WriteString(c, "out of order")
	r.quiet()
	if targets.All()[0].Dead() {
		t.Error("dead, by a check of which nobody was told")
	}
}

// One that was dead before it was watched needs no waking, and one that a session brings back has no more checks.
func TestWatchFindsTheDead(t *testing.T) {
	s := serve(t, "tcp", say("busy"))
	r := newRig(t)
	targets := set(t, 1, 1000, s.address)
	targets.All()[0].Failed(false, errTest)
	r.Monitor("app", targets, greeting(config.ProbeDead))
	testkit.Eventually(t, "it is checked again and again", func() bool { return s.Accepted.Load() > 3 })
	targets.All()[0].Connected(0)
	r.quiet()
}

// A session may still have the target of before a reload when it finds it dead.
func TestWakeByTheTargetOfBefore(t *testing.T) {
	s := serve(t, "tcp", say("ready"))
	r := newRig(t)
	before := set(t, 1, 1, s.address)
	r.Monitor("app", before, greeting(config.ProbeDead))
	after := setAfter(t, before, 1, 1, refuse(t), s.address)
	r.Monitor("app", after, greeting(config.ProbeDead))
	r.quiet()
	before.All()[0].Failed(false, errTest)
	r.CheckNow(before.All()[0])
	if n := r.expect(upstream.Back); n.target != after.All()[1] {
		t.Errorf("%s is back", n.target.Name)
	}
}

func TestRiseAndFall(t *testing.T) {
	var well atomic.Bool
	well.Store(true)
	var asked atomic.Int64
	s := serve(t, "tcp", func(c net.Conn) {
		asked.Add(1)
		if well.Load() {
			_, _ = io.WriteString(c, "ready")
			hang(c)
		}
	})
	r := newRig(t)
	r.Monitor("app", set(t, 3, 2, s.address), greeting(config.ProbeAlways))
	testkit.Eventually(t, "some checks", func() bool { return asked.Load() > 3 })
	for range 2 {
		before := asked.Load()
		well.Store(false)
		r.expect(upstream.Died)
		if n := asked.Load() - before; n < 2 {
			t.Errorf("dead after %d checks, want 2", n)
		}
		before = asked.Load()
		well.Store(true)
		r.expect(upstream.Back)
		if n := asked.Load() - before; n < 3 {
			t.Errorf("back after %d checks, want 3", n)
		}
	}
}

func TestNeverAndDown(t *testing.T) {
	s := serve(t, "tcp", say("ready"))
	r := newRig(t)
	r.Monitor("app", set(t, 1, 1, s.address), greeting(config.ProbeNever))
	down := upstream.NewSet([]config.Target{{Address: address(t, s.address), Weight: 1, Down: true}},
		upstream.Policy{Balance: config.BalanceRoundRobin, Retry: time.Hour, Probed: true, Rise: 1, Fall: 1}, nil)
	r.Monitor("down", down, greeting(config.ProbeAlways))
	r.quiet()
	if n := s.Accepted.Load(); n != 0 {
		t.Errorf("%d checks", n)
	}
	// An app that is checked can be told not to be.
	r.Monitor("app", set(t, 1, 1, s.address), greeting(config.ProbeAlways))
	testkit.Eventually(t, "a check", func() bool { return s.Accepted.Load() > 0 })
	r.Monitor("app", set(t, 1, 1, s.address), greeting(config.ProbeNever))
	r.quiet()
}

// Those that are slow do not delay the others.
func TestSlowOnesDelayNobody(t *testing.T) {
	hole := netip.MustParseAddrPort(blackhole(t, "0.0.0.0"))
	var holes []string
	for i := range 500 {
		holes = append(holes, fmt.Sprintf("127.9.%d.%d:%d", i/250, 1+i%250, hole.Port()))
	}
	silent, s := serve(t, "tcp", hang), serve(t, "tcp", say("ready"))
	r := newRig(t)
	checking := always()
	checking.Timeout = time.Hour
	r.Monitor("slow", set(t, 1, 1, holes...), checking)
	checking.Expect = "ready"
	r.Monitor("silent", set(t, 1, 1, silent.address), checking)
	targets := set(t, 1, 1, s.address)
	r.Monitor("app", targets, checking)
	for range 3 {
		targets.All()[0].Failed(false, errTest)
		r.CheckNow(targets.All()[0])
		r.expect(upstream.Back)
	}
	under := 0
	r.ask(func() { under = r.inFlight.used })
	if under < 501 {
		t.Errorf("%d are under way, want 501 or more", under)
	}
}

// With no slot left, those that are due wait their turn, and all have it.
func TestNoMoreThanTheLimit(t *testing.T) {
	var open, most atomic.Int64
	s := serve(t, "unix", func(c net.Conn) {
		n := open.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(time.Millisecond)
		open.Add(-1)
		say("ready")(c)
	})
	r := newRig(t)
	r.ask(func() { r.inFlight.limit = 3 })
	const apps = 20
	for i := range apps {
		targets := set(t, 2, 1, s.address)
		targets.All()[0].Failed(false, errTest)
		r.Monitor(fmt.Sprint(i), targets, greeting(config.ProbeDead))
	}
	for range apps {
		r.expect(upstream.Back)
	}
	if n := most.Load(); n > 3 {
		t.Errorf("%d at a time, want 3 at most", n)
	}
	r.quiet()
}

// A lack of descriptors here says nothing of a target.
func TestNoDescriptorIsNoVerdict(t *testing.T) {
	s := serve(t, "tcp", say("ready"))
	r := newRig(t)
	checking := greeting(config.ProbeAlways)
	targets := set(t, 1, 1, s.address)
	restore := noDescriptors(t)
	r.Monitor("app", targets, checking)
	tried := 0
	testkit.Eventually(t, "some checks could not be made", func() bool {
		r.ask(func() {
			if c := r.checks[targets.All()[0].Identity()]; c != nil && c.next > 0 {
				tried++
			}
		})
		return tried > 10
	})
	r.ask(func() {
		key := r.tasks.Key(r.checks[targets.All()[0].Identity()].number)
		if r.inFlight.used != 0 || key>>32 != 1 || targets.All()[0].Dead() {
			t.Errorf("%d in flight, the check has key %x; dead: %v", r.inFlight.used, key, targets.All()[0].Dead())
		}
	})
	restore()
	targets.All()[0].Failed(false, errTest)
	r.expect(upstream.Back)
}

// noDescriptors keeps this process from opening any more.
func noDescriptors(t *testing.T) (restore func()) {
	t.Helper()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	limit := before
	for limit.Cur = 0; ; limit.Cur++ {
		if _, err := unix.FcntlInt(uintptr(limit.Cur), unix.F_GETFD, 0); err != nil {
			break // the lowest that is free, which the next one would have
		}
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	restore = func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(restore)
	return restore
}

// What is under way when nobody wants it any more has no verdict, and gives back what it holds.
func TestForgetUnderWay(t *testing.T) {
	silent := serve(t, "tcp", hang)
	hole := blackhole(t, "127.0.0.1")
	slowHTTP := serve(t, "tcp", say("HTTP/1.1 200 OK\r\n\r\n")) // which does not close
	r := newRig(t)
	checking := greeting(config.ProbeAlways)
	checking.Interval = time.Hour
	get := checking
	get.Expect, get.HTTP = "", config.HTTPProbe{Path: "/", Low: 200, High: 200}
	before := 0
	testkit.Eventually(t, "descriptors stay the same", func() bool {
		last := before
		before = testkit.CountDescriptors(t)
		return last == before
	})
	monitor := func() {
		r.Monitor("a", set(t, 1, 1, silent.address, hole), checking)
		r.Monitor("b", set(t, 1, 1, slowHTTP.address), get)
		under := 0
		testkit.Eventually(t, "three are under way", func() bool {
			r.ask(func() { under = r.inFlight.used + len(r.closings) })
			return under == 3 && silent.Accepted.Load() > 0 && slowHTTP.Accepted.Load() > 0
		})
	}
	monitor()
	r.Forget("a")
	r.Forget("b")
	r.Forget("nobody")
	r.quiet()
	testkit.Eventually(t, "the descriptors are given back", func() bool { return testkit.CountDescriptors(t) <= before })
	monitor()
	r.Monitor("a", set(t, 1, 1, silent.address), dead()) // not wanted while it is alive
	r.Monitor("b", set(t, 1, 1), get)
	r.quiet()
	monitor() // for Close
}

// What stays keeps its schedule; what is new is checked at once.
func TestScheduleIsKept(t *testing.T) {
	one, two, three := serve(t, "tcp", say("ready")), serve(t, "tcp", say("ready")), serve(t, "tcp", say("ready"))
	r := newRig(t)
	checking := greeting(config.ProbeAlways)
	checking.Interval = time.Hour
	counts := func() string {
		return fmt.Sprint(one.Accepted.Load(), two.Accepted.Load(), three.Accepted.Load())
	}
	await := func(want string) {
		t.Helper()
		testkit.Eventually(t, "checks: "+want, func() bool { return counts() == want })
		done := false
		testkit.Eventually(t, "nothing is under way", func() bool {
			r.ask(func() { done = r.inFlight.used == 0 })
			return done
		})
		if got := counts(); got != want {
			t.Fatalf("%s checks, want %s", got, want)
		}
	}
	before := set(t, 1, 1, one.address, two.address)
	r.Monitor("app", before, checking)
	await("1 1 0")
	after := setAfter(t, before, 1, 1, three.address, two.address)
	r.Monitor("app", after, checking)
	await("1 1 1")
	r.Refresh("app")
	r.Refresh("nobody")
	await("1 1 1")
	checking.Rise = 2 // another checking: all begin anew
	r.Monitor("app", after, checking)
	await("1 2 2")
	checking.Source = netip.MustParseAddr("127.0.0.9")
	r.Monitor("app", after, checking)
	await("1 3 3")
}

// A name's endpoints come and go.
func TestRefresh(t *testing.T) {
	one, two := serve(t, "tcp", say("ready")), serve(t, "tcp", say("ready"))
	at := func(s *server) netip.AddrPort { return netip.MustParseAddrPort(s.address) }
	name := config.Address{Network: "tcp", Host: "web.internal", Port: 80}
	targets := resolved(name, at(one))
	r := newRig(t)
	r.Monitor("app", targets, greeting(config.ProbeAlways))
	testkit.Eventually(t, "checks of the first", func() bool { return one.Accepted.Load() > 2 })
	resolve(targets, name, at(two))
	r.Refresh("app")
	testkit.Eventually(t, "checks of the second", func() bool { return two.Accepted.Load() > 2 })
	n := 0
	r.ask(func() { n = len(r.checks) })
	if n != 1 {
		t.Errorf("%d checks, want 1", n)
	}
}

// No number of plain connects leaves connections in TIME_WAIT at this end, nor do HTTP checks: the server closes first.
// Who finishes an exchange first is the one that waits (RFC 9293, section 3.6).
func TestNoTimeWait(t *testing.T) {
	const at = "127.77.0.1:0" // no client has that address
	servers := map[string]Config{}
	plain := serveAt(t, "tcp", at, hang)
	servers[plain.address] = always()
	var reset atomic.Int64
	body := strings.Repeat("x", 100<<10)
	web := serveAt(t, "tcp", at, func(c net.Conn) {
		buffer := make([]byte, 4096)
		if _, err := c.Read(buffer); err != nil {
			return
		}
		if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"+body); err != nil {
			reset.Add(1)
			return
		}
		_ = c.(*net.TCPConn).CloseWrite()
		if _, err := c.Read(buffer); err != io.EOF {
			reset.Add(1)
		}
	})
	get := always()
	get.Interval = 100 * time.Millisecond // time to read the answer
	get.HTTP = config.HTTPProbe{Path: "/", Low: 200, High: 200}
	servers[web.address] = get
	r := newRig(t)
	sets := map[string]*upstream.Set{}
	for address, checking := range servers {
		sets[address] = set(t, 1, 1, address)
		r.Monitor(address, sets[address], checking)
	}
	passed := func(s *server) int64 { return sets[s.address].All()[0].Condition().ProbesPassed }
	testkit.Eventually(t, "many checks", func() bool { return passed(plain) > 50 && passed(web) > 20 })
	for address := range servers {
		r.Forget(address)
	}
	r.quiet()
	for address := range servers {
		if n := timeWaits(t, netip.MustParseAddrPort(address)); n > 0 {
			t.Errorf("%d connections to %s in TIME_WAIT", n, address)
		}
	}
	if n, all := reset.Load(), web.Accepted.Load(); n > 1 { // but a check that Forget met under way
		t.Errorf("%d of %d HTTP checks were reset", n, all)
	}
	if n, all := plain.Accepted.Load(), passed(plain); n > all/2 { // one that took long may
		t.Errorf("%d of %d plain connects came to the program", n, all)
	}
}

// timeWaits counts the connections to an IPv4 address that wait at this end: proc_pid_net(5).
func timeWaits(t *testing.T, to netip.AddrPort) (n int) {
	t.Helper()
	const timeWait = "06"
	text, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	ip := to.Addr().As4()
	remote := fmt.Sprintf("%02X%02X%02X%02X:%04X", ip[3], ip[2], ip[1], ip[0], to.Port())
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 3 && f[2] == remote && f[3] == timeWait {
			n++
		}
	}
	return n
}

// A server that keeps the connection open although it was asked to close is left in time for the next check.
func TestHTTPServerThatDoesNotClose(t *testing.T) {
	s := serve(t, "tcp", say("HTTP/1.1 200 OK\r\n\r\n"))
	endless := serve(t, "tcp", func(c net.Conn) {
		for err := error(nil); err == nil; {
			_, err = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n"+strings.Repeat("x", 10000))
		}
	})
	r := newRig(t)
	get := always()
	get.HTTP = config.HTTPProbe{Path: "/", Low: 200, High: 200}
	r.Monitor("app", set(t, 1, 1, s.address, endless.address), get)
	testkit.Eventually(t, "checks go on", func() bool { return s.Accepted.Load() > 5 && endless.Accepted.Load() > 5 })
	select {
	case n := <-r.news:
		t.Errorf("%s: %v (%v)", n.target.Name, n.change, n.err)
	default:
	}
}

// Courtesy has an end: what a server goes on sending is not read for ever.
func TestHTTPServerThatSendsWithoutEnd(t *testing.T) {
	sent := make(chan int, 1)
	endless := serve(t, "tcp", func(c net.Conn) {
		n, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		for part, more := make([]byte, 64<<10), 0; err == nil; n += more {
			more, err = c.Write(part)
		}
		sent <- n
	})
	r := newRig(t)
	get := always()
	get.Interval = time.Hour
	get.HTTP = config.HTTPProbe{Path: "/", Low: 200, High: 200}
	r.Monitor("app", set(t, 1, 1, endless.address), get)
	if n := <-sent; n > 16<<20 { // beside what is read there is what sockets hold, about 4 MiB
		t.Errorf("%d bytes were read", n)
	}
}

// One that dies again while the server still has its time to close is checked again at once.
func TestWakeWhileLeaving(t *testing.T) {
	s := serve(t, "tcp", say("HTTP/1.1 200 OK\r\n\r\n"))
	r := newRig(t)
	get := dead()
	get.Interval = time.Hour
	get.HTTP = config.HTTPProbe{Path: "/", Low: 200, High: 200}
	targets := set(t, 1, 1, s.address)
	r.Monitor("app", targets, get)
	for range 3 {
		targets.All()[0].Failed(false, errTest)
		r.CheckNow(targets.All()[0])
		r.expect(upstream.Back)
	}
}

// A target that is barred, because it is the proxy itself, is not checked: the check would be a session of the proxy, and
// its answer the proxy's own.
func TestTheBarredAreNotProbed(t *testing.T) {
	s := serve(t, "tcp", say("ready"))
	r := newRig(t)
	targets := set(t, 1, 1, s.address)
	one := targets.All()[0]
	one.Bar("it leads back")
	for _, when := range []string{config.ProbeDead, config.ProbeAlways} {
		r.Monitor("app", targets, greeting(when))
		one.Failed(false, errTest)
		r.CheckNow(one)
		r.quiet()
	}
	if n := s.Accepted.Load(); n != 0 {
		t.Fatalf("%d checks of a target that is barred", n)
	}
	one.Bar("")
	r.CheckNow(one)
	r.expect(upstream.Back)
	one.Bar("it leads back again")
	r.quiet()
}
