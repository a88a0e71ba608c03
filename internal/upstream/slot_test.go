package upstream

import (
	"testing"
	"testing/synctest"

	"tcp-proxy/internal/config"
)

// What may be reserved, whoever asks: picking looks at what a tier knows, which may be out of date.
func TestReserve(t *testing.T) {
	for _, c := range []struct {
		health        health
		drained, full bool
		live          bool // picked as one that lives
		trial, ok     bool
		then          health
	}{
		{health: alive, live: true, ok: true, then: alive},
		{health: alive, live: false, ok: true, then: alive},
		{health: alive, live: true, drained: true, then: alive},
		{health: alive, live: true, full: true, then: alive},
		{health: dead, live: true, then: dead},
		{health: dead, live: false, ok: true, then: dead},
		{health: dead, live: false, drained: true, then: dead},
		{health: dead, live: false, full: true, then: dead},
		{health: due, live: true, ok: true, trial: true, then: onTrial},
		{health: due, live: false, ok: true, trial: true, then: onTrial},
		{health: due, live: true, drained: true, then: due},
		{health: due, live: true, full: true, then: due},
		{health: onTrial, live: true, then: onTrial},
		{health: onTrial, live: false, ok: true, then: onTrial},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSet(1, func(_ int, t *config.Target) {
				if c.full {
					t.MaxSessions = 2
				}
			})
			x := s.All()[0]
			healths[c.health].bring(t, x, s)
			for c.full && x.sessions.Load() < 2 {
				x.sessions.Add(1)
			}
			x.Drain(c.drained)
			before := x.Sessions()
			trial, ok := x.reserve(c.live)
			if trial != c.trial || ok != c.ok || x.known() != c.then {
				t.Errorf("%+v: trial %v, ok %v, then %s", c, trial, ok, x.known())
			}
			if got := x.Sessions() - before; got != 0 && !ok || got != 1 && ok {
				t.Errorf("%+v: %d places taken", c, got)
			}
			if x.tier.tree.at(0) != x.key() && !c.full {
				t.Errorf("%+v: the tier knows %x, and it is %x", c, x.tier.tree.at(0), x.key())
			}
			s.Retire()
		})
	}
}

// What a tier knows may be wrong for a moment, while others change it: no session ends for that.
func TestPickIsNotMisled(t *testing.T) {
	for _, balance := range balances {
		s := balanced(balance, some(fan+1, nil))
		tier := s.line.inForce.Load().tiers[0]
		for _, x := range s.All()[:fan] {
			x.Drain(true)
		}
		for i := range tier.tree.levels[1] {
			tier.tree.levels[1][i].Store(keyNone)
		}
		pick(t, s).Release()
		s = balanced(balance, some(fan+1, func(_ int, c *config.Target) { c.MaxSessions = 1 }))
		tier = s.line.inForce.Load().tiers[0]
		for i, x := range s.All() {
			switch i % 3 {
			case 0:
				x.drained.Store(true)
			case 1:
				x.sessions.Store(1)
			}
		}
		for range 3 {
			if x := pick(t, s); x.place%3 != 2 {
				t.Errorf("%s: one that is drained or full", balance)
			}
		}
		if x, _, err := s.Pick(new(Attempts), nobody); err == nil {
			t.Errorf("%s: %s cannot take the session", balance, x.Name)
		}
		checkTree(t, tier.tree, func(place int) uint64 { return tier.targets[place].key() })
	}
}
