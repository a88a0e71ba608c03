package probe

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestQueue(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var q queue
	pushed, popped := int32(0), int32(0)
	for range 10000 {
		if random.IntN(2) == 0 {
			q.push(&check{number: pushed})
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
			if c.number != popped {
				t.Fatalf("%d, want %d", c.number, popped)
			}
			popped++
		}
	}
}

// The event of a connection that has been given up is not taken for one of what has its number now.
func TestEventsOfBefore(t *testing.T) {
	p := &Prober{inFlight: slots{limit: 1}}
	c := &check{fd: noSocket}
	c.number = p.number(c)
	first := p.acquire(c, 7)
	if !p.inFlight.full() || c.fd != 7 || *p.tasks.Find(first) != c {
		t.Fatal("one slot for one")
	}
	p.release(c)
	if p.inFlight.full() || c.fd != noSocket || p.tasks.Find(first) != nil {
		t.Error("a connection that was given up is found")
	}
	second := p.acquire(c, 8)
	if p.tasks.Find(first) != nil || *p.tasks.Find(second) != c {
		t.Error("a connection that was given up is found in place of the next")
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
