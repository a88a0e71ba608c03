package upstream

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tcp-proxy/internal/config"
)

// visit is a waiting session.
type visit struct {
	tried   Attempts
	waiter  *Waiter
	granted atomic.Int32
}

// wait queues a session that finds every target full.
func wait(t *testing.T, s *Set, v *visit) *visit {
	t.Helper()
	if x, _, err := s.Pick(&v.tried, noClient); !errors.Is(err, ErrFull) {
		t.Fatalf("%v, %v: want ErrFull", x, err)
	}
	v.waiter = s.Await(&v.tried, noClient, func() { v.granted.Add(1) })
	return v
}

// got returns the target on which the session was granted a slot.
func (v *visit) got(t *testing.T, s *Set) *Target {
	t.Helper()
	if n := v.granted.Load(); n != 1 {
		t.Fatalf("granted %d times", n)
	}
	v.granted.Store(0)
	x, _, err := s.Pick(&v.tried, noClient)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// fullSet is n targets for one session each, all of them full.
func fullSet(t *testing.T, n int) (s *Set, taken []*Target) {
	t.Helper()
	s = newSet(n, func(_ int, c *config.Target) { c.MaxSessions = 1 })
	for range n {
		taken = append(taken, pick(t, s))
	}
	return s, taken
}

func TestQueueIsFirstComeFirstServed(t *testing.T) {
	s, taken := fullSet(t, 1)
	var visits []*visit
	for range 3 {
		visits = append(visits, wait(t, s, new(visit)))
	}
	for i, v := range visits {
		taken[0].Release()
		for _, other := range visits[i+1:] {
			if other.granted.Load() != 0 {
				t.Fatal("a later session came first")
			}
		}
		// The slot is reserved: a session that comes now does not get it.
		if x, _, err := s.Pick(new(Attempts), noClient); !errors.Is(err, ErrFull) {
			t.Fatalf("another session got %v, %v", x, err)
		}
		if x := v.got(t, s); x != taken[0] || v.tried.Len() != 1 {
			t.Fatalf("%v, after %d tries", x, v.tried.Len())
		}
		if v.waiter.Cancel() {
			t.Error("it still waited")
		}
	}
	taken[0].Release()
	none(t, s)
}

// A session whose connect failed waits again, ahead of those that came after it.
func TestWaitingAgainKeepsThePosition(t *testing.T) {
	s, taken := fullSet(t, 2)
	first := wait(t, s, new(visit))
	var others []*visit
	for range 3 {
		others = append(others, wait(t, s, new(visit)))
	}
	taken[0].Release()
	x := first.got(t, s)
	x.Failed(false, errLocal)
	x.Release() // goes to the second
	others[0].got(t, s)
	wait(t, s, first)
	taken[1].Release()
	if first.got(t, s) != taken[1] {
		t.Error("another target")
	}
	for _, v := range others[1:] {
		if !v.waiter.Cancel() {
			t.Error("a later session got the slot")
		}
	}
	taken[0].Release()
	taken[1].Release()
	none(t, s)
}

// A slot is offered to sessions that have not tried the target yet.
func TestSlotGoesToSessionThatHasNotTriedTheTarget(t *testing.T) {
	s, taken := fullSet(t, 2)
	first, second := new(visit), new(visit)
	first.tried.add(taken[0])
	wait(t, s, first)
	wait(t, s, second)
	taken[0].Release()
	if first.granted.Load() != 0 || second.got(t, s) != taken[0] {
		t.Error("the first cannot use it, and the second did not get it")
	}
	taken[1].Release()
	if first.got(t, s) != taken[1] {
		t.Error("another target")
	}
	taken[0].Release()
	taken[1].Release()
	none(t, s)
}

func TestCancel(t *testing.T) {
	s, taken := fullSet(t, 1)
	first, second, third := wait(t, s, new(visit)), wait(t, s, new(visit)), wait(t, s, new(visit))
	if !second.waiter.Cancel() || second.waiter.Cancel() {
		t.Error("Cancel says that it no longer waited")
	}
	taken[0].Release()
	// The first cancels after it was granted a slot: the slot goes to the third.
	if first.waiter.Cancel() || first.granted.Load() != 1 || second.granted.Load() != 0 {
		t.Error("the first was not granted its slot, or the second was")
	}
	third.got(t, s).Release()
	none(t, s)
}

// A session that cancels after it was granted the half-open trial leaves the trial to another session.
func TestCancelGivesBackTheHalfOpenTrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, taken := fullSet(t, 1)
		taken[0].Failed(false, errConnect)
		v := wait(t, s, new(visit))
		time.Sleep(retry)
		synctest.Wait()
		taken[0].Release()
		if taken[0].currentHealth() != inTrial || v.waiter.Cancel() || taken[0].currentHealth() != retryDue {
			t.Errorf("it is %s", taken[0].currentHealth())
		}
		none(t, s)
	})
}

// Every event that frees a slot offers it to waiting sessions.
func TestEverythingThatFreesASlotOffersIt(t *testing.T) {
	name := config.Address{Network: "tcp", Host: "web", Port: 80}
	for what, do := range map[string]func(s *Set, taken []*Target){
		"a session ends": func(_ *Set, taken []*Target) { taken[0].Release() },
		"a drain ends":   func(s *Set, _ []*Target) { s.All()[1].Drain(false) },
		"a limit is raised": func(s *Set, _ []*Target) {
			c := slices.Clone(s.targets)
			c[0].MaxSessions = 2
			NewSet(c, s.policy.Policy, s).Activate()
		},
		"a limit is taken away": func(s *Set, _ []*Target) {
			c := slices.Clone(s.targets)
			c[0].MaxSessions = 0
			NewSet(c, s.policy.Policy, s).Activate()
		},
		"a target is added": func(s *Set, _ []*Target) {
			NewSet(append(slices.Clone(s.targets), config.Target{Address: nth(7)}), s.policy.Policy, s).Activate()
		},
		"a target is not down any more": func(s *Set, _ []*Target) {
			c := slices.Clone(s.targets)
			c[2].Down = false
			NewSet(c, s.policy.Policy, s).Activate()
		},
		"a name is resolved": func(s *Set, _ []*Target) {
			s.Resolved(name, []Endpoint{{Addr: netip.MustParseAddrPort("10.9.9.9:80")}})
		},
	} {
		targets := some(3, func(i int, c *config.Target) { c.MaxSessions, c.Down = 1, i == 2 })
		s := NewSet(append(targets, config.Target{Address: name}), Policy{Retry: retry}, nil)
		s.All()[1].Drain(true)
		taken := []*Target{pick(t, s)}
		v := wait(t, s, new(visit))
		do(s, taken)
		v.got(t, s).Release()
		if v.granted.Load() != 0 {
			t.Errorf("%s: granted again", what)
		}
		s.Retire()
	}
}

// Many free slots are granted to many sessions at once.
func TestManyFreeSlotsGoToManySessions(t *testing.T) {
	s, _ := fullSet(t, 1)
	var visits []*visit
	for range 100 {
		visits = append(visits, wait(t, s, new(visit)))
	}
	c := slices.Clone(s.targets)
	c[0].MaxSessions = 31
	s2 := NewSet(c, s.policy.Policy, s)
	if visits[0].granted.Load() != 0 {
		t.Fatal("a set that is not active offers slots")
	}
	s2.Activate()
	for i, v := range visits {
		if v.granted.Load() == 1 != (i < 30) {
			t.Fatalf("session %d of 100: granted %d times", i, v.granted.Load())
		}
	}
	c[0].MaxSessions = 0
	NewSet(c, s.policy.Policy, s2).Activate()
	for i, v := range visits {
		if v.granted.Load() != 1 {
			t.Fatalf("session %d of 100 still waits, though there is no limit", i)
		}
	}
}

// A slot that is freed between Pick and Await is granted.
func TestSlotFreedBetweenPickAndAwait(t *testing.T) {
	s, taken := fullSet(t, 1)
	v := new(visit)
	if _, _, err := s.Pick(&v.tried, noClient); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	taken[0].Release()
	v.waiter = s.Await(&v.tried, noClient, func() { v.granted.Add(1) })
	v.got(t, s).Release()
	none(t, s)
}

// A session that picks a target with further free slots offers them.
func TestPickOffersFurtherSlots(t *testing.T) {
	s := newSet(1, func(_ int, c *config.Target) { c.MaxSessions = 3 })
	x := s.All()[0]
	for range 3 {
		pick(t, s)
	}
	v := wait(t, s, new(visit))
	x.sessions.Add(-2) // as by two sessions that are about to call changed
	x.updateKey()
	pick(t, s)
	v.got(t, s)
	if x.Sessions() != 3 {
		t.Errorf("%d sessions", x.Sessions())
	}
	for range 3 {
		x.Release()
	}
	none(t, s)
}

// Many sessions share a few slots: each gets one in the end, whatever happens to the targets meanwhile.
func TestEveryWaitingSessionGetsASlot(t *testing.T) {
	for _, balance := range balances {
		t.Run(balance, func(t *testing.T) { t.Parallel(); crowd(t, balance, false) })
		t.Run(balance+", in unrest", func(t *testing.T) { t.Parallel(); crowd(t, balance, true) })
	}
}

func crowd(t *testing.T, balance string, unrest bool) {
	const sessions, visitors, most = 200, 16, 2
	config := some(3, func(i int, c *config.Target) { c.MaxSessions, c.Backup = most, i == 2 })
	s := NewSet(config, Policy{Balance: balance, Retry: time.Millisecond, Fall: 1, Rise: 1}, nil)
	stop := make(chan struct{})
	var troubles sync.WaitGroup
	if unrest {
		troubles.Go(func() {
			for set := s; ; {
				select {
				case <-stop:
					return
				default:
				}
				x := s.All()[rand.IntN(3)]
				switch rand.IntN(6) {
				case 0:
					x.Drain(true)
				case 1:
					x.Probed(errConnect)
				case 2:
					x.Probed(nil)
				case 3:
					set = NewSet(config, set.policy.Policy, set)
					set.Activate()
				default:
					x.Drain(false)
				}
			}
		})
	}
	var all sync.WaitGroup
	var held [3]atomic.Int32
	for visitor := range visitors {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(visitor), 7))
			source := netip.AddrFrom4([4]byte{10, 1, 1, byte(visitor)})
			var tried Attempts
			for n := range sessions {
				tried.Reset()
				for {
					x, halfOpen, err := s.Pick(&tried, source)
					if errors.Is(err, ErrFull) {
						granted := make(chan struct{})
						w := s.Await(&tried, source, func() { close(granted) })
						if n%5 == 0 {
							if w.Cancel() {
								break
							}
							continue
						}
						select {
						case <-granted:
						case <-time.After(20 * time.Second):
							t.Error("forgotten")
							w.Cancel()
							return
						}
						continue
					}
					if err != nil {
						break // all were tried or are drained
					}
					at := &held[x.endpoint.addr.Addr().As4()[3]]
					if n := at.Add(1); n > most {
						t.Errorf("%d sessions", n)
					}
					failed := random.IntN(8) == 0
					if failed {
						x.Failed(halfOpen, errConnect)
					} else {
						x.Connected(time.Duration(random.IntN(1e6)))
					}
					at.Add(-1)
					x.Release()
					if !failed {
						break
					}
				}
			}
		})
	}
	all.Wait()
	close(stop)
	troubles.Wait()
	none(t, s)
	s.Retire()
}

// A session that goes on in another engine takes its slot though there is none, and a waiting one keeps its position.
func TestGoingOnElsewhere(t *testing.T) {
	s, taken := fullSet(t, 1)
	x := taken[0]
	first, second := wait(t, s, &visit{}), wait(t, s, &visit{})
	first.waiter.Cancel()
	second.waiter.Cancel()
	x.Release()
	x.Reenter() // the one that is connected
	x.Reenter() // one beyond the limit
	if n := x.Sessions(); n != 2 {
		t.Errorf("%d sessions", n)
	}
	again := func(v *visit) *visit {
		var next visit
		s.Continue(&next.tried, v.tried.Keep())
		return wait(t, s, &next)
	}
	second = again(second)
	first = again(first)
	third := wait(t, s, &visit{})
	for _, v := range []*visit{first, second, third} {
		if n := v.granted.Load(); n != 0 {
			t.Error("a slot that there is not")
		}
	}
	x.Release()
	for i, v := range []*visit{first, second, third} {
		x.Release()
		if v.granted.Load() != 1 {
			t.Errorf("waiting session %d is not the next", i+1)
		}
		v.got(t, s)
	}
}

// What was tried is not tried again, but for what was given up.
func TestKeptAttempts(t *testing.T) {
	s := newSet(20, nil)
	var before Attempts
	for range 12 {
		if _, _, err := s.Pick(&before, noClient); err != nil {
			t.Fatal(err)
		}
	}
	last := before.Last()
	kept := before.Keep(last)
	var after Attempts
	s.Continue(&after, kept)
	if after.Len() != 11 || after.has(last) {
		t.Errorf("%d were tried", after.Len())
	}
	for range 9 {
		x, _, err := s.Pick(&after, noClient)
		if err != nil || slices.Contains(kept.Tried, x) {
			t.Errorf("%v, %v", x, err)
		}
	}
	if _, _, err := s.Pick(&after, noClient); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
	after = Attempts{}
	s.Continue(&after, Kept{Tried: kept.Tried[:2], Count: 7})
	if again := after.Keep(); after.Len() != 7 || again.Count != 7 || len(again.Tried) != 2 {
		t.Errorf("%d were tried, and %+v is kept", after.Len(), again)
	}
	unresolved := NewSet([]config.Target{{Address: config.Address{Network: "tcp", Host: "name.test", Port: 1}, Weight: 1}}, Policy{}, nil)
	if x, _, err := unresolved.Pick(&Attempts{earlier: 7}, noClient); !errors.Is(err, ErrUnresolved) {
		t.Errorf("%v, %v: want ErrUnresolved, though others were tried before", x, err)
	}
	if after.Reset(); after.Len() != 0 {
		t.Errorf("%d were tried after Reset", after.Len())
	}
}
