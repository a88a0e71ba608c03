package upstream

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"tcp-proxy/internal/config"
)

// Sessions that have tried the same targets are one group, however many they are and in whatever order they tried them.
func TestOfferLooksAtOneSessionOfEachGroup(t *testing.T) {
	const each = 3000
	s, taken := fullSet(t, 20)
	q := &s.shared.queue
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
				v.tried.add(x)
			}
			visits[kind] = append(visits[kind], wait(t, s, v))
		}
		groups(3)
	}
	// All but the first group have tried that target: they are skipped as two groups.
	for n := range each {
		taken[0].Release()
		if visits[0][n].got(t, s) != taken[0] {
			t.Fatal("another target")
		}
	}
	groups(2)
	taken[0].Release()
	if q.waiting.Load() != 2*each || taken[0].Sessions() != 0 {
		t.Fatal("a session got a target that it had tried")
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

// A slot goes to the session that has waited longest of those that can use it, whatever they have tried, and even if
// sessions cancel or wait again.
func TestSlotsGoToTheLongestWaiting(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	s, taken := fullSet(t, 10) // enough for Attempts with and without a map
	free := map[*Target]bool{}
	var waiting []*visit // by ticket
	for range 20_000 {
		switch x := taken[random.IntN(len(taken))]; random.IntN(5) {
		case 0, 1:
			v := new(visit)
			for _, x := range taken {
				if free[x] || random.IntN(3) == 0 {
					v.tried.add(x)
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
			// Its connect fails. Another session may get the slot; this one waits again at its position.
			others := slices.DeleteFunc(slices.Clone(waiting), func(o *visit) bool { return o.tried.has(x) })
			if x.Release(); len(others) > 0 {
				others[0].got(t, s)
				waiting = slices.DeleteFunc(waiting, func(o *visit) bool { return o == others[0] })
			} else {
				free[x] = true
			}
			if x := slices.IndexFunc(taken, func(x *Target) bool { return free[x] && !v.tried.has(x) }); x >= 0 {
				t.Fatal("it could have had another target")
			}
			wait(t, s, v)
		case 4:
			if len(waiting) > 0 {
				at := random.IntN(len(waiting))
				if !waiting[at].waiter.Cancel() {
					t.Fatal("it had been granted a slot")
				}
				waiting = slices.Delete(waiting, at, at+1)
			}
			if free[x] {
				var tried Attempts
				for _, other := range taken {
					if other != x {
						tried.add(other)
					}
				}
				if got, _, err := s.Pick(&tried, noClient); got != x {
					t.Fatal(got, err)
				}
				delete(free, x)
			}
		}
		for _, v := range waiting {
			if v.granted.Load() != 0 {
				t.Fatal("granted to a session that has not waited longest")
			}
		}
		if n := int(s.shared.queue.waiting.Load()); n != len(waiting) {
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

// An offer of more slots than it gives at once unlocks the queue in between. A session that comes then waits behind
// those already waiting, which also get the slots that become free meanwhile.
func TestLaterSessionWaitsBehindAnOffer(t *testing.T) {
	const room, wanting = 2*maxLooksLocked + 10, 4 * maxLooksLocked
	s := newSet(2, func(i int, c *config.Target) { c.MaxSessions, c.Down = 1, i == 1 })
	x := pick(t, s)
	var order []*visit
	var visits []*visit
	late := new(visit)
	inBetween := func() {
		switch len(order) {
		case 1:
		case room + 1: // the offer after that
			if x, _, err := s.Pick(new(Attempts), noClient); !errors.Is(err, ErrFull) {
				t.Errorf("another session got %v, %v", x, err)
			}
			return
		default:
			return
		}
		if n := x.Sessions() - 1; n != maxLooksLocked {
			t.Errorf("%d were granted a slot at once, want %d", n, maxLooksLocked)
		}
		if !s.shared.queue.mu.TryLock() {
			t.Error("the queue is locked")
		} else {
			s.shared.queue.mu.Unlock()
		}
		if _, ok := x.reserve(true); ok {
			t.Error("another session got a slot")
		}
		wait(t, s, late) // finds the target full
		x.Release()      // one more slot
	}
	for range wanting {
		v := new(visit)
		if _, _, err := s.Pick(&v.tried, noClient); !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
		v.waiter = s.Await(&v.tried, noClient, func() {
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
	if len(order) != room || !slices.Equal(order, visits[:room]) { // the first had a slot and gave it back
		t.Errorf("%d were granted a slot, want the first %d in their order", len(order), room)
	}
	if late.granted.Load() != 0 || x.offered.Load() {
		t.Error("the last session got a slot, or the offer did not end")
	}
	c[0].MaxSessions = 0
	last := NewSet(c, s.policy.Policy, after)
	last.Activate()
	if len(order) != wanting || late.granted.Load() != 1 {
		t.Errorf("%d were granted a slot, want %d", len(order), wanting)
	}
	for _, v := range append(visits, late) {
		v.got(t, s).Release()
	}
	pick(t, s).Release()
	none(t, s)
}
