package upstream

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tcp-proxy/internal/config"
)

// With every balancer: no session goes to a target that it has tried, or that is down, drained or full, nor to a
// backup or a dead target while another can take it. When none is left, the error says why.
func TestEveryBalancerKeepsTheRules(t *testing.T) {
	for _, balance := range balances {
		t.Run(balance, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := balanced(balance, some(8, func(i int, c *config.Target) {
					c.Weight = 1 + i
					c.Backup = i == 6 || i == 7
					c.Down = i == 5
					c.MaxSessions = 1
				}))
				for i, x := range s.All() {
					if i == 1 || i == 7 {
						x.Failed(false, errConnect)
					}
				}
				s.All()[2].Drain(true)
				source := netip.MustParseAddr("192.0.2.1")
				var tried Attempts
				got := ""
				for {
					x, halfOpen, err := s.Pick(&tried, source)
					if err != nil {
						if !errors.Is(err, ErrNone) {
							t.Error(err)
						}
						break
					}
					if halfOpen {
						t.Error("a half-open trial with probes")
					}
					got += letter(x)
				}
				if len(got) != 6 || !strings.Contains("ade aed dae dea ead eda", got[:3]) || got[3:] != "gbh" {
					t.Errorf("they were tried in the order %s", got)
				}
				if _, _, err := s.Pick(new(Attempts), source); !errors.Is(err, ErrFull) {
					t.Errorf("with all full: %v", err)
				}
				for _, x := range tried.targets {
					x.Release()
				}
				time.Sleep(retry)
				synctest.Wait()
				trials := 0
				tried.Reset()
				for {
					_, halfOpen, err := s.Pick(&tried, source)
					if err != nil {
						break
					}
					if halfOpen {
						trials++
					}
				}
				if trials != 2 {
					t.Errorf("%d trials, want 2", trials)
				}
			})
		})
	}
}

// A session that goes through thousands of targets tries each once, and each next one is found quickly.
func TestEveryBalancerGoesThroughAllTargets(t *testing.T) {
	const n = 1000
	for _, balance := range balances {
		for _, fails := range []error{errConnect, errLocal} {
			s := balanced(balance, some(n, func(i int, c *config.Target) { c.Weight = 1 + i%3; c.Backup = i%2 == 0 }))
			var tried Attempts
			for {
				x, halfOpen, err := s.Pick(&tried, netip.MustParseAddr("192.0.2.1"))
				if err != nil {
					break
				}
				if (tried.Len() <= n/2) == x.Backup {
					t.Fatalf("%s: try %d is a backup: %v", balance, tried.Len(), x.Backup)
				}
				x.Failed(halfOpen, fails)
				x.Release()
			}
			seen := map[*state]bool{}
			for _, x := range tried.targets {
				seen[x.state] = true
			}
			if tried.Len() != n || len(seen) != n {
				t.Errorf("%s: %d tries at %d targets", balance, tried.Len(), len(seen))
			}
			none(t, s)
			s.Retire()
		}
	}
}

// Reset forgets the targets that were tried.
func TestAttemptsReset(t *testing.T) {
	s := newSet(2*maxBalanced, func(_ int, c *config.Target) { c.MaxSessions = 1 })
	var tried Attempts
	for range 2 * maxBalanced {
		if _, _, err := s.Pick(&tried, noClient); err != nil {
			t.Fatal(err)
		}
	}
	if tried.Last() == nil || tried.Len() != 2*maxBalanced {
		t.Errorf("%d were tried", tried.Len())
	}
	s.Await(&tried, noClient, func() {}).Cancel()
	tried.Reset()
	if tried.Len() != 0 || tried.Last() != nil || tried.ticket != 0 || tried.phase != 0 || tried.has(s.All()[0]) {
		t.Errorf("after a reset: %+v", tried)
	}
}

// With every balancer: concurrent sessions give back all slots and keep the limits, and Pick does not fail while a
// target is alive.
func TestEveryBalancerConcurrently(t *testing.T) {
	for _, balance := range balances {
		t.Run(balance, func(t *testing.T) {
			t.Parallel()
			s := NewSet(some(20, func(i int, c *config.Target) { c.Weight = 1 + i%4 }), Policy{Balance: balance, Retry: time.Hour, Rise: 1}, nil)
			var all sync.WaitGroup
			for worker := range 8 {
				all.Go(func() {
					random := rand.New(rand.NewPCG(uint64(worker), 1))
					var tried Attempts
					for range 2000 {
						tried.Reset()
						x, halfOpen, err := s.Pick(&tried, netip.AddrFrom4([4]byte{10, 0, byte(worker), byte(random.IntN(256))}))
						if err != nil {
							t.Error(err)
							return
						}
						switch i := int(x.Addr.Addr().As4()[3]); {
						case i >= 10 && random.IntN(4) == 0:
							x.Failed(halfOpen, errConnect)
						case random.IntN(8) == 0:
							x.Abandoned(halfOpen)
						default:
							x.Connected(time.Duration(random.IntN(1e7)))
						}
						if random.IntN(50) == 0 {
							s.All()[10+random.IntN(10)].Probed(nil)
						}
						x.Release()
					}
				})
			}
			all.Wait()
			none(t, s)
			for _, level := range s.shared.active.Load().priorities {
				if balance != config.BalanceNearest {
					checkTree(t, level.tree, func(index int) uint64 { return level.targets[index].key() })
				}
			}
			s.Retire()
		})
	}
}
