package probe

import (
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/testkit"
	"tcp-proxy/internal/upstream"
)

// standStill is as if the process had not run for that long.
func (r *rig) standStill(d time.Duration) {
	r.t.Helper()
	r.ask(func() { r.start = r.start.Add(-d) })
}

// monitorOne watches one target that is dead, so that a check which passes is told, and returns it.
func (r *rig) monitorOne(address string, checking Config) *upstream.Target {
	r.t.Helper()
	targets := set(r.t, 1, 1, address)
	targets.All()[0].Failed(false, errTest)
	r.Monitor("app", targets, checking)
	return targets.All()[0]
}

// While the prober does not run no timeout ends, however long that is: neither with an answer nor with a connect.
func TestAStandstillIsNoTimeout(t *testing.T) {
	answer := make(chan struct{})
	s := serve(t, "tcp", func(c net.Conn) {
		<-answer
		_, _ = io.WriteString(c, "ready")
		hang(c)
	})
	hole := blackhole(t, "127.0.0.1")
	r := newRig(t)
	checking := greeting("always")
	checking.Interval, checking.Timeout = time.Hour, time.Hour
	r.monitorOne(s.address, checking)
	holed := set(t, 1, 1, hole)
	r.Monitor("hole", holed, checking)
	testkit.Eventually(t, "both are under way", func() (yes bool) {
		r.ask(func() { yes = r.inFlight.used == 2 && s.Accepted.Load() == 1 })
		return yes
	})
	for range 3 {
		r.standStill(10 * time.Hour)
		r.ask(func() {}) // a turn
		r.ask(func() {
			if r.inFlight.used != 2 {
				t.Fatal("a check was given up")
			}
		})
	}
	close(answer)
	r.expect(upstream.Back)
	// What the prober was awake for counts.
	r.ask(func() {
		c := r.checks[holed.All()[0].Identity()]
		r.arm(c, r.now)
	})
	if n := r.expect(upstream.Died); n.app != "hole" {
		t.Errorf("%s: %v", n.app, n.err)
	}
}

// Nor does a connection that is closed in good order lose its time.
func TestAStandstillEndsNoClosing(t *testing.T) {
	r := newRig(t)
	checking := greeting("always")
	checking.Interval = time.Hour
	r.monitorOne(stubborn(t).address, checking)
	r.expect(upstream.Back)
	for range 3 {
		r.standStill(time.Minute)
		r.ask(func() {}) // a turn
		r.ask(func() {
			if len(r.closings) != 1 {
				t.Errorf("%d connections are being closed, want 1", len(r.closings))
			}
		})
	}
}

// A time-out is believed only after a look at the socket.
func TestWhatIsInTheSocketIsReadBeforeATimeout(t *testing.T) {
	answer := make(chan struct{}, 1)
	s := serve(t, "tcp", func(c net.Conn) {
		<-answer
		say("ready")(c)
	})
	r := newRig(t)
	checking := greeting("always")
	checking.Interval, checking.Send = time.Hour, "go"
	answer <- struct{}{}
	one := r.monitorOne(s.address, checking)
	r.expect(upstream.Back)
	for range 20 {
		r.ask(func() {
			c := r.checks[one.Identity()]
			one.Failed(false, errTest)
			r.connect(c) // on loopback it stands at once, which no event has told
			r.reactor.Disarm(c.number)
			if c.phase != connecting {
				t.Fatal("no connect under way")
			}
			testkit.Eventually(t, "it is connected", func() bool { return linux.Pending(c.fd, unix.POLLOUT) })
			if c.ready(r.Prober); c.phase != reading {
				t.Fatalf("phase %d", c.phase)
			}
			answer <- struct{}{}
			testkit.Eventually(t, "the answer comes", func() bool { return linux.Pending(c.fd, unix.POLLIN) })
			r.overdue(c)
			if one.Dead() {
				t.Error("the answer was there: ", one.Condition().LastProbeErr)
			}
		})
		r.expect(upstream.Back)
	}
	plain := always()
	plain.Interval = time.Hour
	r.Forget("app")
	one = r.monitorOne(s.address, plain)
	r.expect(upstream.Back)
	r.ask(func() {
		c := r.checks[one.Identity()]
		one.Failed(false, errTest)
		r.connect(c)
		r.reactor.Disarm(c.number)
		testkit.Eventually(t, "it is connected", func() bool { return linux.Pending(c.fd, unix.POLLOUT) })
		r.overdue(c)
	})
	r.expect(upstream.Back)
}
