package upstream

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tcp-proxy/internal/config"
)

const retry = 10 * time.Second

var (
	errConnect = errors.New("no way")
	nobody     netip.Addr // a client without an address
)

// balances is every balancer.
var balances = []string{
	config.BalanceRoundRobin, config.BalanceLeastSessions, config.BalanceRandom,
	config.BalanceSourceHash, config.BalanceFirst, config.BalanceNearest,
}

// nth is the address of the nth target: they are called a, b, c and so on in tests.
func nth(n int) config.Address {
	return config.Address{Network: "tcp", Host: fmt.Sprintf("10.%d.%d.%d", n>>16, n>>8&255, n&255), Port: 80}
}

// letter is what the target is called in tests.
func letter(t *Target) string {
	ip := t.Addr.Addr().As4()
	return string(rune('a' + ip[3]))
}

// some makes n targets as change makes them.
func some(n int, change func(i int, t *config.Target)) (targets []config.Target) {
	for i := range n {
		t := config.Target{Address: nth(i), Weight: 1}
		if change != nil {
			change(i, &t)
		}
		targets = append(targets, t)
	}
	return targets
}

// weighing gives targets these weights.
func weighing(weights ...int) []config.Target {
	return some(len(weights), func(i int, t *config.Target) { t.Weight = weights[i] })
}

func newSet(n int, change func(i int, t *config.Target)) *Set {
	return NewSet(some(n, change), Policy{Retry: retry}, nil)
}

// seeded has a set choose by numbers that are the same each time.
func seeded(s *Set) *Set {
	random := rand.New(rand.NewPCG(1, 2))
	for _, tier := range s.line.inForce.Load().tiers {
		tier.rand = random.Uint64
	}
	return s
}

// pick picks for a new session.
func pick(t testing.TB, s *Set) *Target {
	t.Helper()
	return pickFrom(t, s, nobody)
}

func pickFrom(t testing.TB, s *Set, source netip.Addr) *Target {
	t.Helper()
	var tried Attempts
	got, _, err := s.Pick(&tried, source)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// letters picks n times, for sessions that connect and end, and joins what the targets are called.
func letters(t testing.TB, s *Set, n int) string {
	t.Helper()
	var all strings.Builder
	for range n {
		got := pick(t, s)
		all.WriteString(letter(got))
		got.Release()
	}
	return all.String()
}

// none checks that no session has a target, and that nobody waits.
func none(t *testing.T, s *Set) {
	t.Helper()
	for _, x := range s.All() {
		if n := x.Sessions(); n != 0 {
			t.Errorf("%s still has %d sessions", x.Name, n)
		}
	}
	if n := s.line.queue.waiting.Load(); n != 0 || len(s.line.queue.groups) != 0 {
		t.Errorf("%d still wait", n)
	}
}
