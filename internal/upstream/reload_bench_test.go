package upstream

import (
	"fmt"
	"testing"
	"time"

	"tcp-proxy/internal/config"
)

// The cost of a reload of an app, in two parts: what can fail, and the activation.
func BenchmarkReload(b *testing.B) {
	for _, n := range []int{10, 10000} {
		targets := some(n, func(i int, t *config.Target) { t.Weight = 1 + i%5 })
		for _, balance := range balances {
			before := balanced(balance, targets)
			b.Run(fmt.Sprintf("prepare/%s/%d", balance, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					NewSet(targets, before.policy.Policy, before)
				}
			})
		}
		before := balanced(config.BalanceLeastSessions, targets)
		b.Run(fmt.Sprintf("commit/%d", n), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				set := NewSet(targets, before.policy.Policy, before)
				b.StartTimer()
				set.Activate()
			}
		})
	}
}

// The cost of thousands of targets that die and come back.
func BenchmarkDeath(b *testing.B) {
	s := balanced(config.BalanceRoundRobin, some(10000, nil))
	all := s.All()
	for i := 0; b.Loop(); i++ {
		x := all[i%len(all)]
		if i/len(all)%2 == 0 {
			x.Failed(false, errConnect)
		} else {
			x.Connected(time.Millisecond)
		}
	}
	s.Retire()
}
