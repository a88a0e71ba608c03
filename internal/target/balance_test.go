package target

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tcp-proxy/internal/config"
)

func balanced(balance string, targets []config.Target) *Set {
	return seeded(NewSet(targets, Policy{Balance: balance, Retry: retry}, nil))
}

// fits checks counts against the shares that they should have, by chi-square: by chance alone, the distance is greater
// once in more than a million times.
func fits(t *testing.T, what string, counts []int, shares []float64) {
	t.Helper()
	total, sum := 0, 0.
	for i := range counts {
		total += counts[i]
		sum += shares[i]
	}
	distance := 0.
	for i := range counts {
		want := float64(total) * shares[i] / sum
		if want == 0 {
			if counts[i] != 0 {
				t.Errorf("%s: %d came to %d, which has no share", what, counts[i], i)
			}
			continue
		}
		distance += (float64(counts[i]) - want) * (float64(counts[i]) - want) / want
	}
	free := float64(len(counts) - 1)
	// Wilson and Hilferty: the cube root of chi-square by its degrees of freedom is about normal.
	deviations := (math.Cbrt(distance/free) - (1 - 2/(9*free))) / math.Sqrt(2/(9*free))
	if deviations > 5 {
		t.Errorf("%s: %v for shares of %v: %.1f standard deviations off", what, counts, shares, deviations)
	}
}

// tally picks n times, for sessions that connect and end, and counts what each target had.
func tally(t *testing.T, s *Set, n int, source func(int) netip.Addr) []int {
	t.Helper()
	at := map[*state]int{}
	for i, x := range s.All() {
		at[x.state] = i
	}
	counts := make([]int, len(at))
	for i := range n {
		from := nobody
		if source != nil {
			from = source(i)
		}
		x := pickFrom(t, s, from)
		counts[at[x.state]]++
		x.Release()
	}
	return counts
}

func TestEveryBalance(t *testing.T) {
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

// The target of each session, with sessions that come and go, is one of those with the least load, as the definition
// has it.
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
func TestLeastSessionsTies(t *testing.T) {
	s := balanced(config.BalanceLeastSessions, weighing(4, 2, 1))
	if got := fmt.Sprint(tally(t, s, 70, nil)); got != "[40 20 10]" {
		t.Error(got)
	}
	// With their sessions open, they get their weights as well.
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
	fits(t, "four", tally(t, s, 80000, nil), []float64{4, 2, 1, 1})
	s.All()[0].Failed(false, errConnect)
	fits(t, "with one dead", tally(t, s, 40000, nil), []float64{0, 2, 1, 1})
	s.All()[1].Drain(true)
	s.All()[2].Drain(true)
	fits(t, "with one left", tally(t, s, 100, nil), []float64{0, 0, 0, 1})
	s.Retire()

	// Few are left of many: drawing hits none of them, mostly.
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
	fits(t, "few of many", tally(t, s, 20000, nil), shares)
}

// Of two that are drawn, the less loaded is taken: sessions that stay are spread far more evenly than by chance, and for
// two targets as evenly as can be.
func TestRandomTakesTheLessBusyOfTwo(t *testing.T) {
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

// takes is how long connects take, by target.
type takes []time.Duration

// connect has sessions connect, and counts where they go.
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
			t.Errorf("of whom nothing is known: %v", got)
		}
		// Those about as fast share by weight; the others are looked at now and then.
		const sessions = 32000
		part := 1. / explore
		fits(t, "nearest", m.connect(t, s, sessions), []float64{
			part / 5, (1-part)/3 + part/5, part / 5, (1-part)*2/3 + part*2/5,
		})
		// One that becomes fast is found out, and so is one that becomes slow.
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

// Sessions do not go on piling up at a target from which there is no answer, whether it was ever measured or not.
func TestNearestDoesNotWaitForOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := balanced(config.BalanceNearest, some(3, nil))
		for _, x := range s.line.inForce.Load().tiers {
			x.rand = func() uint64 { return 1 } // no exploring
		}
		if got := letters(t, s, 3); got != "abc" {
			t.Errorf("the first: %s", got)
		}
		for i, x := range s.All()[:2] {
			x.Connected(time.Duration(i+1) * 10 * time.Millisecond)
		}
		if got := letters(t, s, 3); got != "aaa" {
			t.Errorf("with one that owes an answer: %s", got)
		}
		time.Sleep(patience + time.Millisecond)
		if got := letters(t, s, 3); got != "bbb" {
			t.Errorf("with the nearest late: %s", got)
		}
		s.All()[0].Connected(time.Second / 2)
		s.All()[1].Connected(20 * time.Millisecond)
		s.All()[2].Abandoned(false)
		if got := letters(t, s, 2); got != "ca" && got != "cb" {
			t.Errorf("with one that still is to be measured: %s", got)
		}
		s.All()[2].Failed(false, errConnect)
		s.All()[2].Connected(time.Millisecond) // by a trial
		if got := letters(t, s, 2); got != "cc" {
			t.Errorf("with one that is back: %s", got)
		}
	})
}

// Whatever the balancer: no session goes to a target that it has tried, that is down, drained or full, nor to a backup
// or a dead one while another can take it. When none is left, the error says why.
func TestEveryBalanceKeepsTheRules(t *testing.T) {
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
				var tried Tried
				got := ""
				for {
					x, trial, err := s.Pick(&tried, source)
					if err != nil {
						if !errors.Is(err, ErrNone) {
							t.Error(err)
						}
						break
					}
					if trial {
						t.Error("a trial")
					}
					got += letter(x)
				}
				if len(got) != 6 || !strings.Contains("ade aed dae dea ead eda", got[:3]) || got[3:] != "gbh" {
					t.Errorf("they were tried in the order %s", got)
				}
				if _, _, err := s.Pick(new(Tried), source); !errors.Is(err, ErrFull) {
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
					_, trial, err := s.Pick(&tried, source)
					if err != nil {
						break
					}
					if trial {
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

// A session that goes through thousands of targets tries each once, and does not take long to find the next.
func TestEveryBalanceGoesThroughAll(t *testing.T) {
	const n = 3000
	for _, balance := range balances {
		for _, fails := range []error{errConnect, errLocal} {
			s := balanced(balance, some(n, func(i int, c *config.Target) { c.Weight = 1 + i%3; c.Backup = i%2 == 0 }))
			var tried Tried
			for {
				x, trial, err := s.Pick(&tried, netip.MustParseAddr("192.0.2.1"))
				if err != nil {
					break
				}
				if (tried.Len() <= n/2) == x.Backup {
					t.Fatalf("%s: try %d is a backup: %v", balance, tried.Len(), x.Backup)
				}
				x.Failed(trial, fails)
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

// Whatever the balancer, sessions side by side leave nothing behind and keep to the limits; picking never fails while a
// target lives.
func TestEveryBalanceSideBySide(t *testing.T) {
	for _, balance := range balances {
		t.Run(balance, func(t *testing.T) {
			t.Parallel()
			s := NewSet(some(20, func(i int, c *config.Target) { c.Weight = 1 + i%4 }), Policy{Balance: balance, Retry: time.Hour, Rise: 1}, nil)
			var all sync.WaitGroup
			for worker := range 8 {
				all.Go(func() {
					random := rand.New(rand.NewPCG(uint64(worker), 1))
					var tried Tried
					for range 2000 {
						tried.Reset()
						x, trial, err := s.Pick(&tried, netip.AddrFrom4([4]byte{10, 0, byte(worker), byte(random.IntN(256))}))
						if err != nil {
							t.Error(err)
							return
						}
						switch i := int(x.Addr.Addr().As4()[3]); {
						case i >= 10 && random.IntN(4) == 0:
							x.Failed(trial, errConnect)
						case random.IntN(8) == 0:
							x.Abandoned(trial)
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
			for _, tier := range s.line.inForce.Load().tiers {
				if balance != config.BalanceNearest {
					checkTree(t, tier.tree, func(place int) uint64 { return tier.targets[place].key() })
				}
			}
			s.Retire()
		})
	}
}

var sources = func() (list [1 << 10]netip.Addr) {
	random := rand.New(rand.NewPCG(8, 8))
	for i := range list {
		list[i] = netip.AddrFrom4([4]byte{10, byte(random.Uint32()), byte(random.Uint32()), byte(random.Uint32())})
	}
	return list
}()

// situations are what a pick may find; each has a set of n targets.
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

func TestPickingAllocatesNothing(t *testing.T) {
	for _, balance := range balances {
		for _, situation := range situations {
			for _, n := range []int{2, 10000} {
				s := situation.make(balance, n)
				var tried Tried
				i := 0
				allocations := testing.AllocsPerRun(100, func() {
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
						x.Connected(time.Duration(1+x.place) * time.Millisecond)
					}
				}
				b.Run(fmt.Sprintf("%s/%s/%d", balance, situation.name, n), func(b *testing.B) {
					b.ReportAllocs()
					var tried Tried
					for i := 0; b.Loop(); i++ {
						tried.Reset()
						x, trial, err := s.Pick(&tried, sources[i%len(sources)])
						if err != nil {
							b.Fatal(err)
						}
						x.Abandoned(trial)
						x.Release()
					}
				})
			}
		}
	}
}

func BenchmarkPickSideBySide(b *testing.B) {
	for _, balance := range balances {
		s := situations[0].make(balance, 100)
		for _, tier := range s.line.inForce.Load().tiers {
			tier.rand = rand.Uint64
		}
		b.Run(balance, func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				var tried Tried
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
