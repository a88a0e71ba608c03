package upstream

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tcp-proxy/internal/config"
)

func TestPickIsRoundRobin(t *testing.T) {
	if got := letters(t, newSet(3, nil), 7); got != "abcabca" {
		t.Error(got)
	}
}

func TestPickByWeight(t *testing.T) {
	s := newSet(2, func(i int, t *config.Target) { t.Weight = 1 + 2*i })
	if got := letters(t, s, 8); got != "babbbabb" && got != "bbabbbab" {
		t.Error(got)
	}
}

func TestPickSkipsDeadTargetsEvenly(t *testing.T) {
	s := newSet(4, nil)
	s.All()[1].Failed(false, errConnect)
	s.All()[2].Failed(false, errConnect)
	if got := letters(t, s, 6); got != "adadad" {
		t.Error(got)
	}
}

func TestPickTriesEveryTargetOnce(t *testing.T) {
	s := newSet(3, nil)
	s.All()[0].Failed(false, errConnect)
	var tried Attempts
	all := ""
	for range 3 {
		got, _, err := s.Pick(&tried, noClient)
		if err != nil {
			t.Fatal(err)
		}
		all += letter(got)
		got.Failed(false, errConnect)
		got.Release()
	}
	if all != "bca" { // the dead one when no live one is left
		t.Error(all)
	}
	if _, _, err := s.Pick(&tried, noClient); !errors.Is(err, ErrNone) {
		t.Errorf("a fourth try: %v", err)
	}
	none(t, s)
}

func TestPickUsesBackupsLast(t *testing.T) {
	s := newSet(3, func(i int, t *config.Target) { t.Backup = i == 0 })
	if got := letters(t, s, 4); got != "bcbc" {
		t.Error(got)
	}
	s.All()[1].Failed(false, errConnect)
	s.All()[2].Failed(false, errConnect)
	if got := letters(t, s, 2); got != "aa" {
		t.Error(got)
	}
}

func TestPickSkipsTargetsThatAreDown(t *testing.T) {
	s := newSet(2, func(i int, t *config.Target) { t.Down = i == 0 })
	if got := letters(t, s, 3); got != "bbb" {
		t.Error(got)
	}
	if s.All()[0].State() != Down {
		t.Error(s.All()[0].State())
	}
	var tried Attempts
	if _, _, err := newSet(1, func(_ int, t *config.Target) { t.Down = true }).Pick(&tried, noClient); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
}

func TestPickSkipsFullTargets(t *testing.T) {
	s := newSet(2, func(i int, t *config.Target) { t.MaxSessions = 1 })
	first, second := pick(t, s), pick(t, s)
	var tried Attempts
	if _, _, err := s.Pick(&tried, noClient); !errors.Is(err, ErrFull) {
		t.Errorf("with all full: %v", err)
	}
	first.Release()
	if got := pick(t, s); got != first {
		t.Errorf("%s instead of the one that is free again", got.Name)
	}
	first.Release()
	second.Release()
}

func TestPickSharesExactlyAmongConcurrentSessions(t *testing.T) {
	s := newSet(3, func(i int, t *config.Target) { t.Weight = i + 1 })
	var all sync.WaitGroup
	var mu sync.Mutex
	counts := map[string]int{}
	for range 8 {
		all.Go(func() {
			for range 600 {
				var tried Attempts
				got, _, err := s.Pick(&tried, noClient)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				counts[letter(got)]++
				mu.Unlock()
				got.Release()
			}
		})
	}
	all.Wait()
	if got := fmt.Sprint(counts); got != "map[a:800 b:1600 c:2400]" {
		t.Error(got)
	}
}

func TestMaxSessionsHoldsUnderContention(t *testing.T) {
	const most = 3
	s := newSet(1, func(_ int, t *config.Target) { t.MaxSessions = most })
	var all sync.WaitGroup
	var holders atomic.Int32
	for range 16 {
		all.Go(func() {
			for range 500 {
				var tried Attempts
				got, _, err := s.Pick(&tried, noClient)
				if err != nil {
					if !errors.Is(err, ErrFull) {
						t.Error(err)
					}
					continue
				}
				if n := holders.Add(1); n > most {
					t.Errorf("%d sessions", n)
				}
				runtime.Gosched()
				holders.Add(-1)
				got.Release()
			}
		})
	}
	all.Wait()
	none(t, s)
}

func TestHalfOpenTrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSet(2, nil)
		a := s.All()[0]
		if !a.Failed(false, errConnect) {
			t.Fatal("the first failure does not make it dead")
		}
		if a.Failed(false, errConnect) {
			t.Fatal("died twice")
		}
		for _, wait := range []int{1, 2, 4, 8, 10, 10} { // times retry
			time.Sleep(time.Duration(wait)*retry - time.Second)
			if got := letters(t, s, 3); got != "bbb" {
				t.Fatalf("before the half-open trial is due: %s", got)
			}
			time.Sleep(time.Second)
			synctest.Wait()
			halfOpen, other := pick(t, s), pick(t, s)
			if halfOpen != a {
				halfOpen, other = other, halfOpen
			}
			if halfOpen != a || other == a {
				t.Fatalf("when the half-open trial is due: %s and %s, want one session to a", halfOpen.Name, other.Name)
			}
			if halfOpen.Failed(true, errConnect) {
				t.Fatal("a failed half-open trial must not report a death")
			}
			halfOpen.Release()
			other.Release()
		}
		time.Sleep(10 * retry)
		synctest.Wait()
		halfOpen := pick(t, s)
		if halfOpen != a {
			halfOpen = pick(t, s)
		}
		halfOpen.Abandoned(true)
		halfOpen.Release()
		if halfOpen = pick(t, s); halfOpen != a {
			halfOpen = pick(t, s)
		}
		if halfOpen != a || !halfOpen.Connected(time.Millisecond) || a.State() != Alive {
			t.Fatal("a half-open trial that connects does not bring the target back")
		}
		if a.Connected(time.Millisecond) {
			t.Fatal("came back twice")
		}
		if !a.Failed(false, errConnect) || a.Retry() != retry {
			t.Fatalf("after coming back it waits %v, want %v", a.Retry(), retry)
		}
	})
}

// A session that uses a dead target because no live one is left does not change its half-open trial.
func TestOtherSessionsDoNotChangeTheHalfOpenTrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSet(1, nil)
		s.All()[0].Failed(false, errConnect)
		time.Sleep(retry)
		synctest.Wait()
		session := func() (halfOpen bool) {
			t.Helper()
			var tried Attempts
			got, halfOpen, err := s.Pick(&tried, noClient)
			if err != nil {
				t.Fatal(err)
			}
			got.Release()
			return halfOpen
		}
		if !session() {
			t.Fatal("the first session does not make the half-open trial")
		}
		for _, says := range []func(bool){s.All()[0].Abandoned, func(halfOpen bool) { s.All()[0].Failed(halfOpen, errConnect) }} {
			if session() {
				t.Fatal("a second half-open trial at the same time")
			}
			says(false)
		}
		if session() {
			t.Error("a second half-open trial, after other sessions gave up")
		}
		s.All()[0].Failed(true, errConnect)
		if wait := s.All()[0].Retry(); wait != 2*retry {
			t.Errorf("after one failed half-open trial it waits %v, want %v", wait, 2*retry)
		}
	})
}

func TestNewSetKeepsState(t *testing.T) {
	before := newSet(3, nil)
	held := pick(t, before)
	before.All()[1].Failed(false, errConnect)
	after := NewSet([]config.Target{
		{Address: before.All()[2].Address, Weight: 2},
		{Address: before.All()[1].Address, Weight: 1, MaxSessions: 5},
		{Address: before.All()[0].Address, Weight: 1},
		{Address: nth(25), Weight: 1},
	}, Policy{Retry: 2 * retry}, before)
	after.Activate()
	for i, want := range []State{Alive, Dead, Alive, Alive} {
		if got := after.All()[i].State(); got != want {
			t.Errorf("%s is %s, want %s", after.All()[i].Name, got, want)
		}
	}
	if n := after.All()[2].Sessions(); n != 1 {
		t.Errorf("the open session is counted %d times", n)
	}
	held.Release()
	if n := after.All()[2].Sessions(); n != 0 {
		t.Errorf("%d sessions after the end", n)
	}
	if !after.All()[1].Connected(time.Millisecond) || before.All()[1].State() != Alive {
		t.Error("a session with the new set does not bring the target back for those with the old one")
	}
}

// Only the active set decides picks; a set that is never activated changes nothing.
func TestOneSetIsActive(t *testing.T) {
	before := newSet(1, nil)
	dropped := NewSet(some(2, nil)[1:], before.policy.Policy, before)
	after := NewSet(some(3, nil)[2:], before.policy.Policy, before)
	if got := letters(t, dropped, 1) + letters(t, after, 1) + letters(t, before, 1); got != "aaa" {
		t.Errorf("before anything is enforced: %s", got)
	}
	after.Activate()
	if got := letters(t, dropped, 1) + letters(t, after, 1) + letters(t, before, 1); got != "ccc" {
		t.Errorf("after: %s", got)
	}
	inForce := after.shared.active.Load()
	after.Activate()
	if after.shared.active.Load() != inForce {
		t.Error("activating it again makes a new rotation")
	}
}

func TestRoundRobinContinuesThroughReloads(t *testing.T) {
	s := newSet(4, nil)
	if got := letters(t, s, 2); got != "ab" {
		t.Fatal(got)
	}
	after := NewSet(some(5, nil), s.policy.Policy, s)
	if got := letters(t, s, 1); got != "c" {
		t.Fatal(got)
	}
	after.Activate()
	if got := letters(t, after, 3); got != "dea" {
		t.Error(got)
	}
}

// A set that is not active yet follows the state of its targets until it is.
func TestEventsBeforeASetIsActive(t *testing.T) {
	before := NewSet([]config.Target{{Address: web}}, Policy{Retry: retry}, nil)
	after := NewSet([]config.Target{{Address: web, Weight: 2}}, Policy{Retry: retry}, before)
	after.Resolved(web, endpoints("10.1.0.1:80"))
	before.Resolved(web, endpoints("10.1.0.1:80"))
	held := pick(t, before)
	held.Drain(true)
	after.Activate()
	if x := after.All()[0]; x.Sessions() != 1 || x.State() != Draining || !x.Same(held) {
		t.Errorf("it has %d sessions and is %s", x.Sessions(), x.State())
	}
	before.Resolved(web, endpoints("10.1.0.2:80"))
	if x := after.All()[0]; len(after.All()) != 1 || !x.Same(held) || x.active.Load() != x {
		t.Error("an answer to the set before changes the active one")
	}
	held.Release()
	none(t, after)
}
