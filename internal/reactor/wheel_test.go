package reactor

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// tester is a wheel and what it should give out.
type tester struct {
	*testing.T
	wheel
	due map[int32]int64
	now int64
}

func newTester(t *testing.T, now int64) *tester {
	w := &tester{T: t, due: map[int32]int64{}, now: now}
	w.init(now)
	return w
}

func (w *tester) set(n int32, at int64) {
	w.arm(n, at)
	w.due[n] = at
}

// until goes on to a moment: what comes out was due between the last one and this, and nothing that is due stays.
func (w *tester) until(now int64) {
	w.Helper()
	last := w.now
	w.now = now
	w.advance(now)
	for n, ok := w.take(); ok; n, ok = w.take() {
		if at, ok := w.due[n]; !ok || at > now || at < last-tick {
			w.Fatalf("timer %d, at %v (%v), is due between %v and %v", n, time.Duration(at), ok, time.Duration(last), time.Duration(now))
		}
		delete(w.due, n)
	}
	for n, at := range w.due {
		if at <= now-tick {
			w.Fatalf("timer %d is due at %v, and it is %v", n, time.Duration(at), time.Duration(now))
		}
	}
}

// Every moment is met, none early, and none more than a tick late, however time goes on.
func TestWheel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		w := newTester(t, random.Int64N(int64(time.Hour)))
		for range 3000 {
			n := random.Int32N(300)
			switch random.IntN(5) {
			case 0:
				w.disarm(n)
				delete(w.due, n)
			case 1, 2:
				far := []time.Duration{time.Millisecond, time.Second, time.Minute, time.Hour, 24 * time.Hour}[random.IntN(5)]
				w.set(n, w.now+random.Int64N(int64(far)))
			}
			// To where the wheel wants to be called, or to anywhere before that.
			next := w.next()
			if (next == Never) != (len(w.due) == 0) {
				t.Fatalf("the next moment is %d, with %d to come", next, len(w.due))
			}
			switch {
			case next == Never:
				next = w.now + random.Int64N(int64(time.Second))
			case random.IntN(3) == 0:
				next = w.now + random.Int64N(max(1, next-w.now))
			}
			w.until(max(next, w.now))
		}
	}
}

// lapses are times for which a wheel may stand still.
var lapses = []int64{tick, slots * tick, slots*slots*tick - tick, slots * slots * tick, int64(30 * 24 * time.Hour), math.MaxInt64 / 4}

// A wheel that stands still for longer than anybody lives goes on at once, and nothing is met twice, forgotten or early.
func TestWheelAfterALongTime(t *testing.T) {
	for _, asleep := range lapses {
		w := newTester(t, 0)
		for n, at := range []int64{1, tick, 255 * tick, 256 * tick, 300 * tick, 65535 * tick, 65536 * tick, asleep - 1, asleep, asleep + 1,
			asleep + tick, asleep + 1000*tick, asleep + 1e6*tick} {
			w.set(int32(n), at)
		}
		for now := asleep; len(w.due) > 0; now = w.next() {
			if now == Never {
				t.Fatalf("%v: %d are forgotten", time.Duration(asleep), len(w.due))
			}
			w.advance(now)
			for n, ok := w.take(); ok; n, ok = w.take() {
				if at, ok := w.due[n]; !ok || at > now {
					t.Errorf("%v: a moment at %v is met at %v (%v)", time.Duration(asleep), time.Duration(at), time.Duration(now), ok)
				}
				delete(w.due, n)
			}
			for _, at := range w.due {
				if at <= now-tick {
					t.Errorf("%v: a moment at %v is not met at %v", time.Duration(asleep), time.Duration(at), time.Duration(now))
				}
			}
		}
	}
}

// What is armed after a long time is placed as seen from the present: it is met to the tick, without another detour.
func TestArmingAfterALongTime(t *testing.T) {
	for _, asleep := range lapses {
		w := newTester(t, 0)
		w.set(0, tick)
		w.until(asleep)
		for n := range int32(300) {
			w.set(n, asleep+int64(n)*tick)
		}
		for n := range int64(301) {
			if next := w.next(); n < 200 && (next <= asleep || next > asleep+(n+2)*tick) {
				t.Fatalf("%v: the next moment is %v after that, want %v", time.Duration(asleep), time.Duration(next-asleep), time.Duration(n*tick))
			}
			w.until(asleep + (n+1)*tick)
		}
		if len(w.due) > 0 || w.next() != Never {
			t.Fatalf("%v: %d are forgotten", time.Duration(asleep), len(w.due))
		}
	}
}

// To go on takes so many steps, however long that was ago, and however many timers there are: a list that has passed is
// moved as a whole, and no more than a portion of those of the far ring is placed anew at a time.
func TestManyTimersAreBounded(t *testing.T) {
	w := newTester(t, 0)
	const timers = 3*portion + 1
	for n := range int32(timers) {
		w.arm(n, int64(time.Hour))
	}
	now := int64(24 * time.Hour)
	met := 0
	for round := 1; round <= 4; round++ {
		w.advance(now)
		for n, ok := w.take(); ok; n, ok = w.take() {
			if n < 0 || n >= timers {
				t.Fatal(n)
			}
			met++
		}
		if want := min(round*portion, timers); met != want || (w.next() <= now) != (met < timers) {
			t.Fatalf("%d were met in %d rounds, want %d; the next moment is %d", met, round, want, w.next())
		}
	}
	if w.next() != Never {
		t.Error("something is left")
	}
}

// A moment that has passed already is met with the next tick, not in this turn: who arms when it is due does not go round
// and round.
func TestArmingForThePast(t *testing.T) {
	w := newTester(t, 0)
	now := int64(time.Minute)
	w.advance(now)
	w.arm(1, 0)
	w.advance(now)
	if _, ok := w.take(); ok {
		t.Error("it is due in the same tick")
	}
	if next := w.next(); next != now+tick {
		t.Errorf("it is due at %v", time.Duration(next))
	}
	w.advance(now + tick)
	if n, ok := w.take(); !ok || n != 1 {
		t.Error("it is forgotten")
	}
	w.disarm(1)
	w.disarm(10000)
	w.arm(1, Never)
	w.disarm(1)
	if w.next() != Never {
		t.Error("what is disarmed is not")
	}
}

// What is due and disarmed before it was taken, or armed for later, is not given out.
func TestDisarmingWhatIsDue(t *testing.T) {
	w := newTester(t, 0)
	for n := range int32(3) {
		w.arm(n, tick)
	}
	w.advance(tick)
	w.disarm(0)
	w.arm(1, 2*tick)
	if n, ok := w.take(); !ok || n != 2 {
		t.Errorf("timer %d is given out (%v)", n, ok)
	}
	if n, ok := w.take(); ok {
		t.Errorf("timer %d is given out", n)
	}
	w.advance(2 * tick)
	if n, ok := w.take(); !ok || n != 1 {
		t.Errorf("timer %d is given out (%v)", n, ok)
	}
}
