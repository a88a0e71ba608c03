package loop

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Every moment is met, none early, and none more than a tick late, however time goes on.
func TestWheel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 20 {
		var b slab
		var w wheel
		now := random.Int64N(int64(time.Hour))
		w.init(&b, now)
		due := map[int32]int64{}
		var sessions []*session
		for range 300 {
			s := b.take()
			s.state = relaying
			sessions = append(sessions, s)
		}
		last := now
		for step := range 3000 {
			s := sessions[random.IntN(len(sessions))]
			switch random.IntN(5) {
			case 0:
				w.disarm(s)
				delete(due, s.id)
			case 1, 2:
				far := []time.Duration{time.Millisecond, time.Second, time.Minute, time.Hour, 24 * time.Hour}[random.IntN(5)]
				at := now + random.Int64N(int64(far))
				w.arm(s, at)
				due[s.id] = at
			}
			// To where the wheel wants to be called, or to anywhere before that.
			next := w.next()
			if (next < 0) != (len(due) == 0) && len(due) > 0 {
				t.Fatalf("round %d: nothing is due, and %d should be", round, len(due))
			}
			switch {
			case next < 0:
				now += random.Int64N(int64(time.Second))
			case random.IntN(3) == 0:
				now += random.Int64N(max(1, next-now))
			default:
				now = max(now, next)
			}
			w.advance(now, func(s *session) bool {
				at, ok := due[s.id]
				if !ok || at > now || at < last-tick {
					t.Fatalf("round %d, step %d: a moment at %v (%v) was met between %v and %v", round, step, time.Duration(at), ok,
						time.Duration(last), time.Duration(now))
				}
				delete(due, s.id)
				return true
			})
			for id, at := range due {
				if at <= now-tick {
					t.Fatalf("round %d, step %d: session %d is due at %v, and it is %v", round, step, id, time.Duration(at), time.Duration(now))
				}
			}
			last = now
		}
	}
}

// A place that is used again is another session.
func TestSlab(t *testing.T) {
	var b slab
	s := b.take()
	id, generation := s.id, s.generation
	s.state = relaying
	if b.find(id, generation) != s {
		t.Fatal("the session is not found")
	}
	s.flow[0].moved.Store(7)
	b.give(s)
	if b.find(id, generation) != nil {
		t.Error("a session that is over is found")
	}
	again := b.take()
	again.state = relaying
	if again.id != id || again.flow[0].moved.Load() != 0 || again.side[client].fd != -1 {
		t.Errorf("the place that was given back is %+v", again)
	}
	if b.find(id, generation) != nil || b.find(id, again.generation) != again {
		t.Error("the former session is found in place of the new one")
	}
	var all []*session
	for range 3 * chunk {
		s := b.take()
		s.state = relaying
		all = append(all, s)
	}
	n := 0
	for i := range b.size() {
		if s := b.at(int32(i)); s.state != free {
			n++
			b.give(s)
		}
	}
	if n != len(all)+1 || b.open != 0 {
		t.Errorf("%d sessions, %d left; want %d and 0", n, b.open, len(all)+1)
	}
}
