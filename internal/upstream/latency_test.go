package upstream

import (
	"testing"
	"testing/synctest"
	"time"
)

// near reports whether a is b, give or take a tenth.
func near(a, b time.Duration) bool { return a > b*9/10 && a < b*11/10 }

func TestTimesAreSmoothed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var x times
		x.answer(8 * time.Millisecond)
		if x.connect() != 8*time.Millisecond {
			t.Errorf("after one: %v", x.connect())
		}
		for range 200 { // as fast as they come
			x.answer(time.Millisecond)
		}
		if !near(x.connect(), time.Millisecond) {
			t.Errorf("after 200 of 1ms: %v", x.connect())
		}
		x.answer(33 * time.Millisecond)
		if !near(x.connect(), 2*time.Millisecond) {
			t.Errorf("after an odd one: %v", x.connect())
		}
		time.Sleep(memory)
		x.answer(20 * time.Millisecond)
		if got := x.connect(); got < 12*time.Millisecond || got > 15*time.Millisecond {
			t.Errorf("after one long after the others: %v", got)
		}
		time.Sleep(6 * memory)
		x.answer(5 * time.Millisecond)
		if !near(x.connect(), 5*time.Millisecond) {
			t.Errorf("after one very long after the others: %v", x.connect())
		}
		x.answer(0)
		x.forget()
		if x.connect() != 0 {
			t.Errorf("forgotten: %v", x.connect())
		}
		x.answer(0)
		if x.connect() <= 0 {
			t.Error("measured, and taken for unknown")
		}
	})
}

func TestLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var x times
		if x.late() {
			t.Error("late before anything is owed")
		}
		x.owe()
		if !x.late() {
			t.Error("of one that was never measured, an answer is owed, and more sessions are sent")
		}
		for _, c := range []struct{ usual, patience time.Duration }{
			{time.Millisecond, patience},
			{100 * time.Millisecond, slowness * 100 * time.Millisecond},
		} {
			x.forget()
			x.answer(c.usual)
			x.owe()
			time.Sleep(c.patience / 2)
			x.owe() // another session: the first is still owed
			time.Sleep(c.patience / 2)
			if x.late() {
				t.Errorf("usually %v: late after %v", c.usual, c.patience)
			}
			time.Sleep(time.Millisecond)
			if !x.late() {
				t.Errorf("usually %v: not late after more than %v", c.usual, c.patience)
			}
			x.giveUp()
			if x.late() {
				t.Error("given up, and late")
			}
		}
	})
}
