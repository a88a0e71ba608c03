package upstream

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"tcp-proxy/internal/config"
)

func balanced(balance string, targets []config.Target) *Set {
	return seeded(NewSet(targets, Policy{Balance: balance, Retry: retry}, nil))
}

// fits checks counts against the expected shares by a chi-square test, which chance fails less than once in a million
// times.
func fits(t *testing.T, what string, counts []int, shares []float64) {
	t.Helper()
	total, sum := 0, 0.
	for i := range counts {
		total += counts[i]
		sum += shares[i]
	}
	distance, free, parts := 0., -1., ""
	for i := range counts {
		want := float64(total) * shares[i] / sum
		if want == 0 {
			if counts[i] != 0 {
				t.Errorf("%s: %d came to %d, which has no share", what, counts[i], i)
			}
			continue
		}
		free++
		parts += fmt.Sprintf(" %d for %v;", counts[i], shares[i])
		distance += (float64(counts[i]) - want) * (float64(counts[i]) - want) / want
	}
	if free == 0 {
		return
	}
	// Wilson and Hilferty: the cube root of chi-square by its degrees of freedom is about normal.
	deviations := (math.Cbrt(distance/free) - (1 - 2/(9*free))) / math.Sqrt(2/(9*free))
	if deviations > 5 {
		t.Errorf("%s:%s %.1f standard deviations off", what, parts, deviations)
	}
}

// tally picks n times, for sessions that connect and end, and counts the sessions of each target.
func tally(t *testing.T, s *Set, n int, source func(int) netip.Addr) []int {
	t.Helper()
	at := map[*state]int{}
	for i, x := range s.All() {
		at[x.state] = i
	}
	counts := make([]int, len(at))
	for i := range n {
		from := noClient
		if source != nil {
			from = source(i)
		}
		x := pickFrom(t, s, from)
		counts[at[x.state]]++
		x.Release()
	}
	return counts
}

func TestEveryBalancerPicks(t *testing.T) {
	for _, balance := range balances {
		if balancers[balance] == nil {
			t.Errorf("there is no balancer %q", balance)
		}
	}
	if len(balances) != len(balancers) {
		t.Error("a balancer that no test knows")
	}
}

func TestRoundRobinIsExact(t *testing.T) {
	for _, c := range []struct {
		dead int
		want []int
	}{
		{-1, []int{5, 3, 2, 1}}, {0, []int{0, 3, 2, 1}}, {3, []int{5, 3, 2, 0}},
	} {
		s := balanced(config.BalanceRoundRobin, weighing(5, 3, 2, 1))
		total := 0
		for _, w := range c.want {
			total += w
		}
		if c.dead >= 0 {
			s.All()[c.dead].Failed(false, errConnect)
		}
		for range 10 {
			if got := tally(t, s, total, nil); fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("with %d dead: %v, want %v", c.dead, got, c.want)
			}
		}
		s.Retire()
	}
}

// Sessions come and go; the target of each is one of those with the least load, as defined.
func TestLeastSessionsIsExact(t *testing.T) {
	for _, n := range []int{2, 9, 100} {
		random := rand.New(rand.NewPCG(1, uint64(n)))
		s := balanced(config.BalanceLeastSessions, some(n, func(i int, c *config.Target) { c.Weight = 1 + random.IntN(5) }))
		var open []*Target
		for range 5000 {
			if len(open) > 0 && random.IntN(3*n) < len(open) {
				i := random.IntN(len(open))
				open[i].Release()
				open[i] = open[len(open)-1]
				open = open[:len(open)-1]
				continue
			}
			least := math.Inf(1)
			for _, x := range s.All() {
				least = min(least, float64(x.Sessions())/float64(x.Weight))
			}
			x := pick(t, s)
			if was := float64(x.Sessions()-1) / float64(x.Weight); was != least {
				t.Fatalf("of %d: one with a load of %v, the least is %v", n, was, least)
			}
			open = append(open, x)
		}
	}
}

// Targets with the same load take turns by weight.
func TestLeastSessionsSharesTiesByWeight(t *testing.T) {
	s := balanced(config.BalanceLeastSessions, weighing(4, 2, 1))
	if got := fmt.Sprint(tally(t, s, 70, nil)); got != "[40 20 10]" {
		t.Error(got)
	}
	// While their sessions stay open, they are spread by weight as well.
	for range 70 {
		pick(t, s)
	}
	for i, want := range []int64{40, 20, 10} {
		if got := s.All()[i].Sessions(); got != want {
			t.Errorf("target %d has %d sessions, want %d", i, got, want)
		}
	}
}

func TestRandomIsByWeight(t *testing.T) {
	s := balanced(config.BalanceRandom, weighing(4, 2, 1, 1))
	fits(t, "four", tally(t, s, 20000, nil), []float64{4, 2, 1, 1})
	s.All()[0].Failed(false, errConnect)
	fits(t, "with one dead", tally(t, s, 20000, nil), []float64{0, 2, 1, 1})
	s.All()[1].Drain(true)
	s.All()[2].Drain(true)
	fits(t, "with one left", tally(t, s, 100, nil), []float64{0, 0, 0, 1})
	s.Retire()

	// Few of many targets are left: drawing mostly hits none of them.
	weights := make([]int, 5000)
	shares := make([]float64, len(weights))
	for i := range weights {
		weights[i] = 1 + i%7
	}
	s = balanced(config.BalanceRandom, weighing(weights...))
	for i, x := range s.All() {
		if i%999 == 5 {
			shares[i] = float64(weights[i])
		} else {
			x.Drain(true)
		}
	}
	fits(t, "few of many", tally(t, s, 10000, nil), shares)
	counts := make([]int, len(shares))
	for range 10000 {
		counts[s.shared.active.Load().priorities[0].random(new(Attempts), 1004)]++
	}
	shares[1004] = 0
	fits(t, "few of many, but for one", counts, shares)
}

// Random takes the less loaded of two targets: open sessions are spread far more evenly than by chance alone, and
// between two targets as evenly as possible.
func TestRandomPicksTheLessLoadedOfTwo(t *testing.T) {
	s := balanced(config.BalanceRandom, weighing(1, 1))
	for range 101 {
		pick(t, s)
	}
	if a, b := s.All()[0].Sessions(), s.All()[1].Sessions(); max(a, b) != 51 {
		t.Errorf("two targets have %d and %d of 101 sessions", a, b)
	}
	const n, each = 1000, 10
	s = balanced(config.BalanceRandom, some(n, nil))
	most := int64(0)
	for range n * each {
		x := pick(t, s)
		most = max(most, x.Sessions())
	}
	if most > each+5 { // by chance alone, about 23
		t.Errorf("of %d sessions on %d targets, one has %d", n*each, n, most)
	}
}

func TestFirst(t *testing.T) {
	s := balanced(config.BalanceFirst, some(4, func(i int, c *config.Target) {
		c.Backup = i == 0
		c.MaxSessions = 2
	}))
	got := ""
	for range 8 {
		got += letter(pick(t, s))
	}
	if got != "bbccddaa" {
		t.Error(got)
	}
	s.All()[2].Release()
	s.All()[1].Release()
	if x := pick(t, s); letter(x) != "b" {
		t.Error(letter(x), "instead of the first")
	}
}

// takes is the connect time of each target.
type takes []time.Duration

// connect connects sessions, and counts the sessions of each target.
func (m takes) connect(t *testing.T, s *Set, n int) []int {
	t.Helper()
	counts := make([]int, len(m))
	for range n {
		x := pick(t, s)
		i := int(x.Addr.Addr().As4()[3])
		counts[i]++
		x.Connected(m[i])
		x.Release()
		time.Sleep(10 * time.Millisecond)
	}
	return counts
}

func TestNearest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := balanced(config.BalanceNearest, weighing(1, 1, 1, 2))
		m := takes{20 * time.Millisecond, 10 * time.Millisecond, 30 * time.Millisecond, 10*time.Millisecond + 500*time.Microsecond}
		if got := m.connect(t, s, 4); fmt.Sprint(got) != "[1 1 1 1]" {
			t.Errorf("of unknown targets: %v", got)
		}
		// Targets about as fast share by weight; the others are measured now and then.
		const sessions = 12000
		part := 1. / exploreOneIn
		fits(t, "nearest", m.connect(t, s, sessions), []float64{
			part / 5, (1-part)/3 + part/5, part / 5, (1-part)*2/3 + part*2/5,
		})
		// A target that becomes fast or slow is noticed.
		m[2] = time.Millisecond
		noticed := 0
		for m.connect(t, s, 1)[2] == 0 || s.All()[2].Condition().ConnectTime > 2*time.Millisecond {
			if noticed++; noticed > 1000 {
				t.Fatalf("after %d sessions it is still taken for %v", noticed, s.All()[2].Condition().ConnectTime)
			}
		}
		if got := m.connect(t, s, 1000); got[2] < 900 {
			t.Errorf("with a new nearest: %v", got)
		}
		m[2] = 100 * time.Millisecond
		if got := m.connect(t, s, 1000); got[2] > 200 {
			t.Errorf("when the nearest has become slow: %v", got)
		}
	})
}

// Sessions do not pile up at a target that does not answer, whether its connect time is known or not.
func TestNearestAvoidsTargetsThatDoNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := balanced(config.BalanceNearest, some(3, nil))
		for _, x := range s.shared.active.Load().priorities {
			x.rand = func() uint64 { return 1 } // never explore
		}
		if got := letters(t, s, 3); got != "abc" {
			t.Errorf("the first: %s", got)
		}
		for i, x := range s.All()[:2] {
			x.Connected(time.Duration(i+1) * 10 * time.Millisecond)
		}
		if got := letters(t, s, 3); got != "aaa" {
			t.Errorf("with a target that does not answer: %s", got)
		}
		time.Sleep(overdueMin + time.Millisecond)
		if got := letters(t, s, 3); got != "bbb" {
			t.Errorf("with the nearest overdue: %s", got)
		}
		s.All()[0].Connected(time.Second / 2)
		s.All()[1].Connected(20 * time.Millisecond)
		s.All()[2].Abandoned(false)
		if got := letters(t, s, 2); got != "ca" && got != "cb" {
			t.Errorf("with a target that was not measured: %s", got)
		}
		s.All()[2].Failed(false, errConnect)
		s.All()[2].Connected(time.Millisecond) // by a half-open trial
		if got := letters(t, s, 2); got != "cc" {
			t.Errorf("after a target is back: %s", got)
		}
		// A target that was tried while it was dead, and that a probe brings back, is measured anew.
		for _, x := range s.All() {
			x.Failed(false, errConnect)
		}
		for range 3 {
			pick(t, s).Failed(false, errConnect)
		}
		s.All()[0].Connected(time.Millisecond)
		s.All()[1].Probed(nil)
		if got := letters(t, s, 2); got != "ba" {
			t.Errorf("after a probe has brought a target back: %s", got)
		}
		s.Retire()
	})
}
