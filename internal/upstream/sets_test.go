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
	noClient   netip.Addr // a client without an address
)

// balances are the names of all balancers.
var balances = []string{
	config.BalanceRoundRobin, config.BalanceLeastSessions, config.BalanceRandom,
	config.BalanceSourceHash, config.BalanceFirst, config.BalanceNearest,
}

// nth is the address of the nth target; tests call them a, b, c and so on.
func nth(n int) config.Address {
	return config.Address{Network: "tcp", Host: fmt.Sprintf("10.%d.%d.%d", n>>16, n>>8&255, n&255), Port: 80}
}

// letter is the name that tests give the target.
func letter(t *Target) string {
	ip := t.Addr.Addr().As4()
	return string(rune('a' + ip[3]))
}

// some makes n targets, changed by change.
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

// seeded makes the choices of a set reproducible.
func seeded(s *Set) *Set {
	random := rand.New(rand.NewPCG(1, 2))
	for _, level := range s.shared.active.Load().priorities {
		level.rand = random.Uint64
	}
	return s
}

// pick picks for a new session.
func pick(t testing.TB, s *Set) *Target {
	t.Helper()
	return pickFrom(t, s, noClient)
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

// letters picks n times, for sessions that connect and end, and joins the letters of the targets.
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

// none checks that no session holds a slot or waits.
func none(t *testing.T, s *Set) {
	t.Helper()
	for _, x := range s.All() {
		if n := x.Sessions(); n != 0 {
			t.Errorf("%s still has %d sessions", x.Name, n)
		}
	}
	if n := s.shared.queue.waiting.Load(); n != 0 || len(s.shared.queue.groups) != 0 {
		t.Errorf("%d sessions still wait", n)
	}
}
