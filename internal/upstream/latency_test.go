package upstream

import (
	"testing"
	"testing/synctest"
	"time"
)

// near reports whether a is within a tenth of b.
func near(a, b time.Duration) bool { return a > b*9/10 && a < b*11/10 }

func TestLatencyIsSmoothed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var x latency
		x.observe(8 * time.Millisecond)
		if x.value() != 8*time.Millisecond {
			t.Errorf("after one: %v", x.value())
		}
		for range 200 { // without a pause
			x.observe(time.Millisecond)
		}
		if !near(x.value(), time.Millisecond) {
			t.Errorf("after 200 of 1ms: %v", x.value())
		}
		x.observe(33 * time.Millisecond)
		if !near(x.value(), 2*time.Millisecond) {
			t.Errorf("after an odd one: %v", x.value())
		}
		time.Sleep(decayTime)
		x.observe(20 * time.Millisecond)
		if got := x.value(); got < 12*time.Millisecond || got > 15*time.Millisecond {
			t.Errorf("after one long after the others: %v", got)
		}
		time.Sleep(6 * decayTime)
		x.observe(5 * time.Millisecond)
		if !near(x.value(), 5*time.Millisecond) {
			t.Errorf("after one very long after the others: %v", x.value())
		}
		x.observe(0)
		x.reset()
		if x.value() != 0 {
			t.Errorf("after reset: %v", x.value())
		}
		x.observe(0)
		if x.value() <= 0 {
			t.Error("a measured target is taken for an unknown one")
		}
	})
}

func TestOverdue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var x latency
		if x.overdue() {
			t.Error("overdue before a connect begins")
		}
		x.begin()
		if !x.overdue() {
			t.Error("more sessions go to a target that has not answered its first connect")
		}
		for _, c := range []struct{ usual, limit time.Duration }{
			{time.Millisecond, overdueMin},
			{100 * time.Millisecond, overdueFactor * 100 * time.Millisecond},
		} {
			x.reset()
			x.observe(c.usual)
			x.begin()
			time.Sleep(c.limit / 2)
			x.begin() // another session; the first connect is still pending
			time.Sleep(c.limit / 2)
			if x.overdue() {
				t.Errorf("with a latency of %v: overdue after %v", c.usual, c.limit)
			}
			time.Sleep(time.Millisecond)
			if !x.overdue() {
				t.Errorf("with a latency of %v: not overdue after more than %v", c.usual, c.limit)
			}
			x.cancel()
			if x.overdue() {
				t.Error("overdue after cancel")
			}
		}
	})
}
