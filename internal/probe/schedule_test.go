package probe

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Every moment comes in order, and none that was taken away.
func TestSchedule(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		var s schedule
		var all []*check
		want := map[*check]int64{}
		for range 100 {
			all = append(all, &check{place: unscheduled})
		}
		for range 1000 {
			c := all[random.IntN(len(all))]
			if random.IntN(4) == 0 {
				s.remove(c)
				delete(want, c)
			} else {
				at := random.Int64N(1000)
				s.set(c, at)
				want[c] = at
			}
		}
		for now := int64(0); now < 1000; now += random.Int64N(100) + 1 {
			if next := s.next(); len(want) > 0 && next < 0 || len(want) == 0 && next >= 0 {
				t.Fatalf("next is %d with %d to come", next, len(want))
			}
			last := int64(0)
			for c := s.due(now); c != nil; c = s.due(now) {
				if at, ok := want[c]; !ok || at > now || at != c.at || at < last {
					t.Fatalf("at %d one is due at %d (%v), after %d", now, at, ok, last)
				}
				last = c.at
				delete(want, c)
			}
			for _, at := range want {
				if at <= now {
					t.Fatalf("one that was due at %d is not by %d", at, now)
				}
			}
		}
	}
}

func TestQueue(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var q queue
	pushed, popped := int32(0), int32(0)
	for range 10000 {
		if random.IntN(2) == 0 {
			q.push(&check{seat: pushed})
			if pushed++; len(q.checks) > 2*int(pushed-popped)+2 {
				t.Fatalf("%d places for %d", len(q.checks), pushed-popped)
			}
			continue
		}
		c := q.pop()
		if (c == nil) != (pushed == popped) {
			t.Fatalf("%v, with %d waiting", c, pushed-popped)
		}
		if c != nil {
			if c.seat != popped {
				t.Fatalf("%d, want %d", c.seat, popped)
			}
			popped++
		}
	}
}

// The event of a check that is over is not taken for one of the check that has its seat.
func TestFlights(t *testing.T) {
	f := flights{limit: 2}
	a, b, c := &check{}, &check{}, &check{}
	first, second := f.board(a), f.board(b)
	if !f.full() || f.of(first) != a || f.of(second) != b {
		t.Fatal("two seats for two")
	}
	f.land(a)
	if f.full() || f.of(first) != nil {
		t.Error("one that has landed is found")
	}
	third := f.board(c)
	if !f.full() || f.of(first) != nil || f.of(third) != c {
		t.Error("one that has landed is found in place of the next")
	}
}

func TestJitter(t *testing.T) {
	least, most := int64(1000), int64(0)
	for range 10000 {
		n := jittered(1000)
		least, most = min(least, n), max(most, n)
	}
	if least < 900 || least > 905 || most > 1100 || most < 1095 {
		t.Errorf("from %d to %d, want 900 to 1100", least, most)
	}
	if n := jittered(time.Duration(1)); n < 0 || n > 1 {
		t.Error(n)
	}
}
