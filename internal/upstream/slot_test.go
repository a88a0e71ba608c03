package upstream

import (
	"testing"
	"testing/synctest"

	"tcp-proxy/internal/config"
)

// reserve checks the target itself, because Pick goes by keys that may be out of date.
func TestReserve(t *testing.T) {
	for _, c := range []struct {
		health        health
		drained, full bool
		live          bool // picked as a live target
		halfOpen, ok  bool
		then          health
	}{
		{health: untested, live: true, ok: true, then: untested},
		{health: untested, live: false, ok: true, then: untested},
		{health: untested, live: true, drained: true, then: untested},
		{health: untested, live: true, full: true, then: untested},
		{health: alive, live: true, ok: true, then: alive},
		{health: alive, live: false, ok: true, then: alive},
		{health: alive, live: true, drained: true, then: alive},
		{health: alive, live: true, full: true, then: alive},
		{health: dead, live: true, then: dead},
		{health: dead, live: false, ok: true, then: dead},
		{health: dead, live: false, drained: true, then: dead},
		{health: dead, live: false, full: true, then: dead},
		{health: retryDue, live: true, ok: true, halfOpen: true, then: inTrial},
		{health: retryDue, live: false, ok: true, halfOpen: true, then: inTrial},
		{health: retryDue, live: true, drained: true, then: retryDue},
		{health: retryDue, live: true, full: true, then: retryDue},
		{health: inTrial, live: true, then: inTrial},
		{health: inTrial, live: false, ok: true, then: inTrial},
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
			halfOpen, ok := x.reserve(c.live)
			if halfOpen != c.halfOpen || ok != c.ok || x.currentHealth() != c.then {
				t.Errorf("%+v: trial %v, ok %v, then %s", c, halfOpen, ok, x.currentHealth())
			}
			if got := x.Sessions() - before; got != 0 && !ok || got != 1 && ok {
				t.Errorf("%+v: %d slots taken", c, got)
			}
			if x.priority.tree.key(0) != x.key() && !c.full {
				t.Errorf("%+v: the tree has key %x, want %x", c, x.priority.tree.key(0), x.key())
			}
			s.Retire()
		})
	}
}

// Keys may be wrong for a moment while others change them: no session fails for that.
func TestPickWithStaleKeys(t *testing.T) {
	for _, balance := range balances {
		s := balanced(balance, some(fan+1, nil))
		level := s.shared.active.Load().priorities[0]
		for _, x := range s.All()[:fan] {
			x.Drain(true)
		}
		for i := range level.tree.levels[1] {
			level.tree.levels[1][i].Store(keyNone)
		}
		pick(t, s).Release()
		s = balanced(balance, some(fan+1, func(_ int, c *config.Target) { c.MaxSessions = 1 }))
		level = s.shared.active.Load().priorities[0]
		for i, x := range s.All() {
			switch i % 3 {
			case 0:
				x.drained.Store(true)
			case 1:
				x.sessions.Store(1)
			}
		}
		for range 3 {
			if x := pick(t, s); x.index%3 != 2 {
				t.Errorf("%s: picked a target that is drained or full", balance)
			}
		}
		if x, _, err := s.Pick(new(Attempts), noClient); err == nil {
			t.Errorf("%s: %s cannot take the session", balance, x.Name)
		}
		checkTree(t, level.tree, func(index int) uint64 { return level.targets[index].key() })
	}
}
