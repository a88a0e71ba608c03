package upstream

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"tcp-proxy/internal/config"
)

// Those who have tried the same are looked at as one, however many they are and in whatever order they tried.
func TestAnOfferLooksAtOneOfThoseWhoHaveTriedTheSame(t *testing.T) {
	const each = 3000
	s, taken := narrow(t, 20)
	q := &s.line.queue
	groups := func(want int) {
		t.Helper()
		if len(q.groups) != want {
			t.Fatalf("%d groups, want %d", len(q.groups), want)
		}
	}
	var visits [3][]*visit
	for n := range each {
		for kind := range visits {
			v := new(visit)
			tried := slices.Clone(taken[:[]int{0, 3, 12}[kind]])
			if n%2 == 0 {
				slices.Reverse(tried)
			}
			for _, x := range tried {
				v.tried.take(x)
			}
			visits[kind] = append(visits[kind], wait(t, s, v))
		}
		groups(3)
	}
	// All but the first kind have tried that one: they are passed over as two.
	for n := range each {
		taken[0].Release()
		if visits[0][n].got(t, s) != taken[0] {
			t.Fatal("another target")
		}
	}
	groups(2)
	taken[0].Release()
	if q.waiting.Load() != 2*each || taken[0].Sessions() != 0 {
		t.Fatal("somebody got what they had tried")
	}
	for _, v := range visits[1] {
		v.waiter.Cancel()
	}
	groups(1)
	for _, v := range visits[2] {
		v.waiter.Cancel()
	}
	for _, x := range taken[1:] {
		x.Release()
	}
	none(t, s)
}

// Whatever those who wait have tried, and whoever gives up or waits again: a place goes to who has waited longest of those
// who can use it.
func TestOffersAreInOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	s, taken := narrow(t, 10) // enough for sets that are kept as lists, and as maps
	free := map[*Target]bool{}
	var waiting []*visit // by ticket
	for range 20_000 {
		switch x := taken[random.IntN(len(taken))]; random.IntN(5) {
		case 0, 1:
			v := new(visit)
			for _, x := range taken {
				if free[x] || random.IntN(3) == 0 {
					v.tried.take(x)
				}
			}
			if v.tried.Len() == len(taken) {
				continue // nothing to wait for
			}
			waiting = append(waiting, wait(t, s, v))
		case 2, 3:
			if free[x] {
				continue
			}
			at := slices.IndexFunc(waiting, func(v *visit) bool { return !v.tried.has(x) })
			if x.Release(); at < 0 {
				free[x] = true
				break
			}
			v := waiting[at]
			if v.got(t, s) != x {
				t.Fatal("another target")
			}
			if random.IntN(2) == 0 || v.tried.Len() == len(taken) {
				waiting = slices.Delete(waiting, at, at+1)
				break
			}
			// Its connect fails. Somebody else may get the place, and it waits again in its place.
			others := slices.DeleteFunc(slices.Clone(waiting), func(o *visit) bool { return o.tried.has(x) })
			if x.Release(); len(others) > 0 {
				others[0].got(t, s)
				waiting = slices.DeleteFunc(waiting, func(o *visit) bool { return o == others[0] })
			} else {
				free[x] = true
			}
			if x := slices.IndexFunc(taken, func(x *Target) bool { return free[x] && !v.tried.has(x) }); x >= 0 {
				t.Fatal("it could have had another")
			}
			wait(t, s, v)
		case 4:
			if len(waiting) > 0 {
				at := random.IntN(len(waiting))
				if !waiting[at].waiter.Cancel() {
					t.Fatal("it had been granted a place")
				}
				waiting = slices.Delete(waiting, at, at+1)
			}
			if free[x] {
				var tried Attempts
				for _, other := range taken {
					if other != x {
						tried.take(other)
					}
				}
				if got, _, err := s.Pick(&tried, nobody); got != x {
					t.Fatal(got, err)
				}
				delete(free, x)
			}
		}
		for _, v := range waiting {
			if v.granted.Load() != 0 {
				t.Fatal("granted to somebody who has not waited longest")
			}
		}
		if n := int(s.line.queue.waiting.Load()); n != len(waiting) {
			t.Fatalf("%d wait, want %d", n, len(waiting))
		}
	}
	for _, v := range waiting {
		v.waiter.Cancel()
	}
	for _, x := range taken {
		if !free[x] {
			x.Release()
		}
	}
	none(t, s)
}

// Room for more than are served at once: others may use the queue in between, but who comes then waits behind those who
// are there, and what becomes free then is theirs as well.
func TestNobodyOvertakesAnOffer(t *testing.T) {
	const room, wanting = 2*looksAtOnce + 10, 4 * looksAtOnce
	s := newSet(2, func(i int, c *config.Target) { c.MaxSessions, c.Down = 1, i == 1 })
	x := pick(t, s)
	var order []*visit
	var visits []*visit
	late := new(visit)
	inBetween := func() {
		switch len(order) {
		case 1:
		case room + 1: // the offer after that
			if x, _, err := s.Pick(new(Attempts), nobody); !errors.Is(err, ErrFull) {
				t.Errorf("somebody else got %v, %v", x, err)
			}
			return
		default:
			return
		}
		if n := x.Sessions() - 1; n != looksAtOnce {
			t.Errorf("%d were granted a place at once, want %d", n, looksAtOnce)
		}
		if !s.line.queue.mu.TryLock() {
			t.Error("the queue is locked")
		} else {
			s.line.queue.mu.Unlock()
		}
		if _, ok := x.reserve(true); ok {
			t.Error("somebody else got a place")
		}
		wait(t, s, late) // finds the target full
		x.Release()      // one place more
	}
	for range wanting {
		v := new(visit)
		if _, _, err := s.Pick(&v.tried, nobody); !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
		v.waiter = s.Await(&v.tried, nobody, func() {
			v.granted.Add(1)
			order = append(order, v)
			inBetween()
		})
		visits = append(visits, v)
	}
	c := slices.Clone(s.targets)
	c[0].MaxSessions = room
	after := NewSet(c, s.policy.Policy, s)
	after.Activate()
	if len(order) != room || !slices.Equal(order, visits[:room]) { // one had a place before, and gave it back
		t.Errorf("%d were granted a place, want the first %d in their order", len(order), room)
	}
	if late.granted.Load() != 0 || x.offered.Load() {
		t.Error("who came last got a place, or the offer has no end")
	}
	c[0].MaxSessions = 0
	last := NewSet(c, s.policy.Policy, after)
	last.Activate()
	if len(order) != wanting || late.granted.Load() != 1 {
		t.Errorf("%d were granted a place, want %d", len(order), wanting)
	}
	for _, v := range append(visits, late) {
		v.got(t, s).Release()
	}
	pick(t, s).Release()
	none(t, s)
}
