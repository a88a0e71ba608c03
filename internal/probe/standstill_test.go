package probe

import (
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/upstream"
)

// standStill is as if the process had not run for that long.
func (r *rig) standStill(d time.Duration) {
	r.t.Helper()
	r.ask(func() { r.start = r.start.Add(-d) })
}

// watchOne watches one target that is dead, so that a check which passes is told, and returns it.
func (r *rig) watchOne(address string, manner Manner) *upstream.Target {
	r.t.Helper()
	targets := set(r.t, 1, 1, address)
	targets.All()[0].Failed(false, errTest)
	r.Watch("app", targets, manner)
	return targets.All()[0]
}

// While the prober does not run no patience ends, however long that is: neither with an answer nor with a connect.
func TestAStandstillIsNoTimeout(t *testing.T) {
	answer := make(chan struct{})
	s := serve(t, "tcp", func(c net.Conn) {
		<-answer
		_, _ = io.WriteString(c, "ready")
		hang(c)
	})
	hole := blackhole(t, "127.0.0.1")
	r := newRig(t)
	manner := greeting("always")
	manner.Interval, manner.Timeout = time.Hour, time.Hour
	r.watchOne(s.address, manner)
	holed := set(t, 1, 1, hole)
	r.Watch("hole", holed, manner)
	eventually(t, "both are under way", func() (yes bool) {
		r.ask(func() { yes = len(r.flights.seats) == 2 && s.accepted.Load() == 1 })
		return yes
	})
	for range 3 {
		r.standStill(10 * time.Hour)
		r.ask(func() {}) // a turn
		r.ask(func() {
			if len(r.flights.free) > 0 {
				t.Fatal("a check was given up")
			}
		})
	}
	close(answer)
	r.expect(upstream.Back)
	// What the prober was awake for counts.
	r.ask(func() {
		c := r.checks[holed.All()[0].Identity()]
		r.schedule.set(c, r.now)
	})
	if n := r.expect(upstream.Died); n.app != "hole" {
		t.Errorf("%s: %v", n.app, n.err)
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
	manner := greeting("always")
	manner.Interval, manner.Send = time.Hour, "go"
	answer <- struct{}{}
	one := r.watchOne(s.address, manner)
	r.expect(upstream.Back)
	for range 20 {
		r.ask(func() {
			c := r.checks[one.Identity()]
			one.Failed(false, errTest)
			r.connect(c) // on loopback it stands at once, which no event has told
			r.schedule.remove(c)
			if c.phase != connecting {
				t.Fatal("no connect under way")
			}
			for limit := time.Now().Add(patience); !linux.Pending(c.fd, unix.POLLOUT); {
				if time.Now().After(limit) {
					t.Fatal("it does not stand")
				}
			}
			if r.step(c); c.phase != reading {
				t.Fatalf("phase %d", c.phase)
			}
			answer <- struct{}{}
			for limit := time.Now().Add(patience); !linux.Pending(c.fd, unix.POLLIN); {
				if time.Now().After(limit) {
					t.Fatal("no answer")
				}
			}
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
	one = r.watchOne(s.address, plain)
	r.expect(upstream.Back)
	r.ask(func() {
		c := r.checks[one.Identity()]
		one.Failed(false, errTest)
		r.connect(c)
		r.schedule.remove(c)
		for limit := time.Now().Add(patience); !linux.Pending(c.fd, unix.POLLOUT); {
			if time.Now().After(limit) {
				t.Fatal("it does not stand")
			}
		}
		r.overdue(c)
	})
	r.expect(upstream.Back)
}
