package upstream

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tcp-proxy/internal/config"
)

// dualStack is the set of a name with an address of each family, IPv4 first, and a backup.
func dualStack(balance string) (s *Set, four, six, backup *Target) {
	name := config.Address{Network: "tcp", Host: "name.test", Port: 80}
	s = NewSet([]config.Target{
		{Address: name, Weight: 1},
		{Address: config.Address{Network: "unix", Path: "/backup"}, Weight: 1, Backup: true},
	}, Policy{Retry: time.Hour, Balance: balance}, nil)
	s.Resolved(name, []Endpoint{
		{Addr: netip.MustParseAddrPort("192.0.2.1:80")}, {Addr: netip.MustParseAddrPort("[2001:db8::1]:80")},
	})
	all := s.All()
	return s, all[0], all[1], all[2]
}

// loseRace is a session that tries a target first and connects to the racing address.
func loseRace(s *Set, first *Target) (second bool) {
	halfOpen, _ := first.reserve(true)
	tried := &Attempts{}
	tried.add(first)
	racing, _ := s.Race(first, tried)
	racing.Connected(time.Millisecond)
	second = first.LostRace(halfOpen)
	first.Release()
	racing.Release()
	return second
}

// picks counts the first targets of sessions.
func picks(t *testing.T, s *Set, n int) map[*Target]int {
	t.Helper()
	seen := map[*Target]int{}
	for i := range n {
		x, halfOpen, err := s.Pick(&Attempts{}, netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}))
		if err != nil {
			t.Fatal(err)
		}
		seen[x]++
		x.Abandoned(halfOpen)
		x.Release()
	}
	return seen
}

// With every balancer: an address that lost three races in a row is demoted for ten minutes; after that, each further
// loss demotes it again.
func TestTargetThatLosesRacesIsDemoted(t *testing.T) {
	for _, balance := range balances {
		t.Run(balance, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, four, six, _ := dualStack(balance)
				for i := range 4 {
					if second := loseRace(s, six); second != (i == 2) {
						t.Errorf("loss %d: demoted is %v", i+1, second)
					}
				}
				if got := picks(t, s, 64); got[six] > 0 {
					t.Errorf("%d of 64 sessions try it first", got[six])
				}
				if c := six.Condition(); c.State != Alive || c.DemotedFor != demotionTime {
					t.Errorf("%+v", c)
				}
				tried := &Attempts{}
				tried.add(four)
				if x, _, err := s.Pick(tried, netip.Addr{}); x != six || err != nil {
					t.Errorf("after the other comes %v, %v", x, err)
				} else {
					x.Release()
				}
				if x, _ := s.Race(four, &Attempts{}); x != six {
					t.Errorf("the second address of the race is %v", x)
				} else {
					x.Release()
				}
				time.Sleep(demotionTime - time.Nanosecond)
				six.demotionTimeCame() // as by a timer that could not be stopped in time
				if c := six.Condition(); c.DemotedFor != 1 {
					t.Errorf("before ten minutes are over: %+v", c)
				}
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				if c := six.Condition(); c.DemotedFor != 0 {
					t.Errorf("after ten minutes: %+v", c)
				}
				if got := picks(t, s, 64); balance != config.BalanceFirst && balance != config.BalanceNearest && got[six] == 0 {
					t.Error("after ten minutes no session tries it first")
				}
				if !loseRace(s, six) {
					t.Error("the next loss makes no difference")
				}
				for _, x := range s.All() {
					if x.Sessions() != 0 {
						t.Errorf("%s has %d sessions left", x.Name, x.Sessions())
					}
				}
				s.Retire()
			})
		})
	}
}

// An answer ends the demotion: a session connects, or a probe passes.
func TestDemotionEndsWhenTheTargetAnswers(t *testing.T) {
	for what, answer := range map[string]func(*Target){
		"a connection": func(x *Target) { x.Connected(time.Millisecond) },
		"a probe":      func(x *Target) { x.Probed(nil) },
	} {
		synctest.Test(t, func(t *testing.T) {
			s, _, six, _ := dualStack(config.BalanceRoundRobin)
			for range lossesToDemote {
				loseRace(s, six)
			}
			six.Probed(errors.New("no answer"))
			if six.DemotedFor() == 0 {
				t.Errorf("%s: it is not demoted", what)
			}
			answer(six)
			if six.DemotedFor() != 0 {
				t.Errorf("%s: it is still demoted", what)
			}
			if got := picks(t, s, 10); got[six] != 5 {
				t.Errorf("%s: %d of 10 sessions try it first", what, got[six])
			}
			for range lossesToDemote - 1 { // in a row
				loseRace(s, six)
			}
			answer(six)
			if loseRace(s, six) {
				t.Errorf("%s: losses before the answer count", what)
			}
		})
	}
}

// A demoted target is picked before backups and before dead targets.
func TestDemotedTargetIsNotDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, four, six, backup := dualStack(config.BalanceRoundRobin)
		for range lossesToDemote {
			loseRace(s, six)
		}
		four.Failed(false, errConnect)
		var tried Attempts
		var order []*Target
		for {
			x, _, err := s.Pick(&tried, netip.Addr{})
			if err != nil {
				break
			}
			order = append(order, x)
		}
		if !slices.Equal(order, []*Target{six, backup, four}) {
			t.Errorf("they are tried in the order %v", order)
		}
		s.Retire()
	})
}
