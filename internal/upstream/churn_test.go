package upstream

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"tcp-proxy/internal/config"
)

// churn applies all events that targets can have, in random order, and checks every pick against the rules.
type churn struct {
	*testing.T
	*rand.Rand
	set     *Set
	targets []config.Target
	open    []opened
	last    string // the last event
}

type opened struct {
	*Target
	halfOpen bool
}

func TestChurn(t *testing.T) {
	for _, balance := range balances {
		for seed := range uint64(4) {
			t.Run(fmt.Sprintf("%s %d", balance, seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := &churn{T: t, Rand: rand.New(rand.NewPCG(seed, 9))}
					c.targets = []config.Target{{Address: web, Weight: 2}, {Address: srv, MaxSessions: 2}}
					for i := range 3 + c.IntN(20) {
						c.targets = append(c.targets, c.target(nth(i)))
					}
					c.set = seeded(NewSet(c.targets, Policy{Balance: balance, Retry: retry, Rise: 2, Fall: 2}, nil))
					for range 1500 {
						c.happen()
						c.check()
					}
					for _, x := range c.open {
						x.Release()
					}
					none(t, c.set)
					c.set.Retire()
				})
			})
		}
	}
}

func (c *churn) target(a config.Address) config.Target {
	return config.Target{Address: a, Weight: 1 + c.IntN(4), MaxSessions: c.IntN(4), Backup: c.IntN(4) == 0, Down: c.IntN(12) == 0}
}

// happen applies one event.
func (c *churn) happen() {
	x := c.set.All()[c.IntN(len(c.set.All()))]
	what := c.IntN(15)
	c.last = fmt.Sprintf("%d on %s", what, x.Name)
	switch what {
	case 0:
		x.Drain(true)
	case 1, 2:
		x.Drain(false)
	case 3, 4:
		x.Probed(errConnect)
	case 5, 6:
		x.Probed(nil)
	case 7:
		time.Sleep(time.Duration(c.IntN(int(2 * retry))))
		synctest.Wait()
	case 8:
		c.set.Resolved([]config.Address{web, srv}[c.IntN(2)], c.found())
	case 9:
		i := c.IntN(len(c.targets))
		changed := c.target(c.targets[i].Address)
		changed.Down = changed.Down && i > 1 // names stay up, so that there is always a target
		c.targets[i] = changed
		policy := c.set.policy.Policy
		policy.Probed = c.IntN(4) == 0
		set := NewSet(c.targets, policy, c.set)
		if c.IntN(4) > 0 {
			set.Activate()
			c.set = seeded(set)
		}
	case 10, 11, 12:
		c.end()
	default:
		c.begin()
	}
}

func (c *churn) found() (list []Endpoint) {
	for i := range 6 {
		if c.IntN(2) == 0 {
			a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 5, 0, byte(i)}), 80)
			list = append(list, Endpoint{Addr: a, Weight: c.IntN(3), Priority: c.IntN(3)})
		}
	}
	return list
}

// begin is a session that tries targets until it connects or gives up.
func (c *churn) begin() {
	var tried Attempts
	for {
		want := c.best(&tried)
		x, halfOpen, err := c.set.Pick(&tried, client(c.IntN(1000)))
		if err != nil {
			switch {
			case want != nobodyCan:
				c.Fatalf("%s: %v, though there is one that is %v", c.last, err, want)
			case errors.Is(err, ErrFull) != c.anyFull(&tried):
				c.Fatalf("%s: %v", c.last, err)
			}
			return
		}
		x.sessions.Add(-1)
		switch got := c.rank(x); {
		case halfOpen: // it was retryDue and is inTrial now
		case got != want:
			c.Fatalf("%s: %s is %v, and there is one that is %v", c.last, x.Name, got, want)
		}
		x.sessions.Add(1)
		switch c.IntN(4) {
		case 0:
			x.Failed(halfOpen, errConnect)
			x.Release()
		case 1:
			x.Abandoned(halfOpen)
			x.Release()
			return
		default:
			x.Connected(time.Duration(c.IntN(1e7)))
			c.open = append(c.open, opened{x, halfOpen})
			return
		}
	}
}

func (c *churn) end() {
	if len(c.open) > 0 {
		i := c.IntN(len(c.open))
		c.open[i].Release()
		c.open[i] = c.open[len(c.open)-1]
		c.open = c.open[:len(c.open)-1]
	}
}

// rank is the order in which a session may use targets: lower ones first.
type rank int

const nobodyCan rank = 1000

func (c *churn) rank(x *Target) rank {
	switch {
	case x.Down || x.drained.Load() || x.MaxSessions > 0 && x.sessions.Load() >= int64(x.MaxSessions):
		return nobodyCan
	}
	level := 0
	for i, t := range c.set.shared.active.Load().priorities {
		if t == x.priority {
			level = i
		}
	}
	if x.currentHealth() == dead || x.currentHealth() == inTrial {
		level += 100
	}
	return rank(level)
}

// best is the rank of the best target that was not tried.
func (c *churn) best(tried *Attempts) rank {
	best := nobodyCan
	for _, x := range c.set.All() {
		if !tried.has(x) {
			best = min(best, c.rank(x))
		}
	}
	return best
}

func (c *churn) anyFull(tried *Attempts) bool {
	for _, x := range c.set.All() {
		if !tried.has(x) && !x.Down && !x.drained.Load() && x.MaxSessions > 0 && x.sessions.Load() >= int64(x.MaxSessions) {
			return true
		}
	}
	return false
}

// check checks that the keys are up to date, and that backups and priorities are in order.
func (c *churn) check() {
	c.Helper()
	last := -1
	for _, level := range c.set.shared.active.Load().priorities {
		checkTree(c.T, level.tree, func(index int) uint64 {
			if x := level.targets[index]; c.set.policy.byLatency && x.key() <= maxAlive {
				return level.tree.key(index) // changes with time: pick updates it
			} else {
				return x.key()
			}
		})
		backup := 0
		if level.targets[0].Backup {
			backup = 1
		}
		if backup < last {
			c.Fatalf("%s: backups before others", c.last)
		}
		last = backup
	}
	for _, x := range c.set.All() {
		if x.active.Load() != x {
			c.Fatalf("%s: %s is not active", c.last, x.Name)
		}
	}
}
