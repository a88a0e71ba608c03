package upstream

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"tcp-proxy/internal/config"
)

var sources = func() (list [1 << 10]netip.Addr) {
	random := rand.New(rand.NewPCG(8, 8))
	for i := range list {
		list[i] = netip.AddrFrom4([4]byte{10, byte(random.Uint32()), byte(random.Uint32()), byte(random.Uint32())})
	}
	return list
}()

// situations are sets of n targets in every state that Pick may find.
var situations = []struct {
	name string
	make func(balance string, n int) *Set
}{
	{"all live", func(balance string, n int) *Set {
		return balanced(balance, some(n, func(i int, c *config.Target) { c.Weight = 1 + i%5 }))
	}},
	{"one lives", func(balance string, n int) *Set {
		s := balanced(balance, some(n, func(i int, c *config.Target) { c.Weight = 1 + i%5 }))
		for i, x := range s.All() {
			if i != n/3 {
				x.Failed(false, errConnect)
			}
		}
		s.Retire()
		return s
	}},
	{"none lives", func(balance string, n int) *Set {
		s := balanced(balance, some(n, func(i int, c *config.Target) { c.Weight = 1 + i%5 }))
		for _, x := range s.All() {
			x.Failed(false, errConnect)
		}
		s.Retire()
		return s
	}},
	{"limited", func(balance string, n int) *Set {
		return balanced(balance, some(n, func(i int, c *config.Target) { c.MaxSessions = 5 }))
	}},
	{"one is heavy", func(balance string, n int) *Set {
		return balanced(balance, some(n, func(i int, c *config.Target) { c.Weight = 1 + i/(n-1)*255 }))
	}},
}

func TestPickAllocatesNothing(t *testing.T) {
	for _, balance := range balances {
		for i, situation := range situations {
			sizes := []int{2, 10000}
			if i > 1 {
				sizes = sizes[:1] // the test takes long enough
			}
			for _, n := range sizes {
				s := situation.make(balance, n)
				var tried Attempts
				i := 0
				allocations := testing.AllocsPerRun(20, func() {
					tried.Reset()
					i++
					for range 2 { // a second one, as after a failure
						x, _, err := s.Pick(&tried, sources[i%len(sources)])
						if err != nil {
							break
						}
						x.Release()
					}
				})
				if allocations != 0 {
					t.Errorf("%s, %d targets, %s: %v allocations", balance, n, situation.name, allocations)
				}
			}
		}
	}
}

func BenchmarkPick(b *testing.B) {
	for _, balance := range balances {
		for _, situation := range situations {
			for _, n := range []int{2, 100, 10000} {
				s := situation.make(balance, n)
				for _, x := range s.All() {
					if balance == config.BalanceNearest && !x.Dead() {
						x.Connected(time.Duration(1+x.index) * time.Millisecond)
					}
				}
				b.Run(fmt.Sprintf("%s/%s/%d", balance, situation.name, n), func(b *testing.B) {
					b.ReportAllocs()
					var tried Attempts
					for i := 0; b.Loop(); i++ {
						tried.Reset()
						x, halfOpen, err := s.Pick(&tried, sources[i%len(sources)])
						if err != nil {
							b.Fatal(err)
						}
						x.Abandoned(halfOpen)
						x.Release()
					}
				})
			}
		}
	}
}

func BenchmarkPickConcurrently(b *testing.B) {
	for _, balance := range balances {
		s := situations[0].make(balance, 100)
		for _, level := range s.shared.active.Load().priorities {
			level.rand = rand.Uint64
		}
		b.Run(balance, func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				var tried Attempts
				for i := 0; pb.Next(); i++ {
					tried.Reset()
					x, _, err := s.Pick(&tried, sources[i%len(sources)])
					if err != nil {
						b.Error(err)
						return
					}
					x.Connected(time.Millisecond)
					x.Release()
				}
			})
		})
	}
}
