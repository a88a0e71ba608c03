package upstream

import (
	"fmt"
	"testing"
	"time"

	"tcp-proxy/internal/config"
)

// What a reload of an app costs: what may fail, and what may not.
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

// What it costs that thousands of targets die and come back.
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
