package admit

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tcp-proxy/internal/config"
)

func networks(texts ...string) config.Networks { return config.NetworksOf(prefixes(texts...)...) }

var (
	one   = netip.MustParseAddr("192.0.2.1")
	two   = netip.MustParseAddr("192.0.2.2")
	other = netip.MustParseAddr("198.51.100.1")
	unix  = netip.Addr{}
)

// expect calls Enter for each source in turn and compares the results.
func expect(t *testing.T, g *Gate, want Refusal, sources ...netip.Addr) {
	t.Helper()
	for i, source := range sources {
		if got := g.Enter(source); got != want {
			t.Fatalf("%v, number %d: %q, want %q", source, i+1, got, want)
		}
	}
}

// empty checks that no client is open and no source is kept.
func empty(t *testing.T, g *Gate) {
	t.Helper()
	if g.Open() != 0 || g.Sources() != 0 {
		t.Errorf("%d open and %d sources after all have left", g.Open(), g.Sources())
	}
}

func TestGateNetworks(t *testing.T) {
	g := NewGate(Policy{Allow: networks("192.0.2.0/24", "2001:db8::/32"), Deny: networks("192.0.2.2/32", "2001:db8:bad::/48")}, nil)
	expect(t, g, "", one, unix, netip.MustParseAddr("::ffff:192.0.2.1"), netip.MustParseAddr("2001:db8::1"))
	expect(t, g, Denied, two, other, netip.MustParseAddr("::ffff:192.0.2.2"), netip.MustParseAddr("2001:db8:bad::1"), netip.MustParseAddr("::1"))
	g = NewGate(Policy{Deny: networks("192.0.2.2/32")}, nil)
	expect(t, g, "", one, other, unix)
	expect(t, g, Denied, two)
}

func TestGateMaxSessions(t *testing.T) {
	g := NewGate(Policy{MaxSessions: 3}, nil)
	expect(t, g, "", one, two, unix)
	expect(t, g, MaxSessions, one, other, unix)
	g.Leave(unix)
	expect(t, g, "", other)
	expect(t, g, MaxSessions, other)
	for _, source := range []netip.Addr{one, two, other} {
		g.Leave(source)
	}
	empty(t, g)
}

func TestGateMaxSessionsPerSource(t *testing.T) {
	g := NewGate(Policy{MaxSessionsPerSource: 2}, nil)
	first, same, neighbour := netip.MustParseAddr("2001:db8:0:1::1"), netip.MustParseAddr("2001:db8:0:1:ffff::1"), netip.MustParseAddr("2001:db8:0:2::1")
	mapped := netip.MustParseAddr("::ffff:192.0.2.1")
	expect(t, g, "", one, mapped, two, first, same, neighbour, unix, unix, unix)
	expect(t, g, MaxSessionsPerSource, one, mapped, first, same, netip.MustParseAddr("2001:db8:0:1::2"))
	expect(t, g, "", two, neighbour)
	g.Leave(mapped)
	g.Leave(first)
	expect(t, g, "", one, same)
	expect(t, g, MaxSessionsPerSource, one, same)
	if g.Sources() != 4 || g.Open() != 11 {
		t.Errorf("%d sources and %d open, want 4 and 11", g.Sources(), g.Open())
	}
	for _, source := range []netip.Addr{one, one, two, two, same, same, neighbour, neighbour, unix, unix, unix} {
		g.Leave(source)
	}
	empty(t, g)
}

func TestGateSessionsPerSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(Policy{SessionsPerSecond: 4}, nil)
		expect(t, g, "", one, one, two, unix)
		expect(t, g, SessionsPerSecond, one, other, unix)
		time.Sleep(250*time.Millisecond - time.Nanosecond)
		expect(t, g, SessionsPerSecond, one)
		time.Sleep(time.Nanosecond)
		expect(t, g, "", one)
		expect(t, g, SessionsPerSecond, one)
		time.Sleep(time.Hour) // the burst is one second's worth
		expect(t, g, "", one, one, one, one)
		expect(t, g, SessionsPerSecond, one)
	})
}

func TestGateSessionsPerSecondPerSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(Policy{SessionsPerSecondPerSource: 2}, nil)
		expect(t, g, "", one, one, two, unix, unix, unix)
		expect(t, g, SessionsPerSecondPerSource, one)
		g.Leave(one)
		g.Leave(one)
		expect(t, g, SessionsPerSecondPerSource, one) // also when none of its clients is open
		time.Sleep(500 * time.Millisecond)
		expect(t, g, "", one)
		expect(t, g, SessionsPerSecondPerSource, one)
		time.Sleep(time.Minute)
		expect(t, g, "", one, one)
		expect(t, g, SessionsPerSecondPerSource, one)
	})
}

// Only clients that are admitted use up a rate.
func TestGateRatesCountTheAdmitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(Policy{Deny: networks("198.51.100.0/24"), SessionsPerSecond: 10, SessionsPerSecondPerSource: 3, MaxSessionsPerSource: 2, MaxSessions: 5}, nil)
		expect(t, g, Denied, other, other, other)
		expect(t, g, "", one, one)
		for range 100 { // uses up neither the app's rate nor the source's
			expect(t, g, MaxSessionsPerSource, one)
		}
		g.Leave(one)
		expect(t, g, "", one)
		g.Leave(one)
		for range 100 { // does not use up the app's rate
			expect(t, g, SessionsPerSecondPerSource, one)
		}
		expect(t, g, "", two, two, unix, unix)
		for range 100 { // uses up no rate
			expect(t, g, MaxSessions, unix)
		}
		g.Leave(unix)
		g.Leave(unix)
		expect(t, g, "", unix, unix) // the eighth and the ninth of ten
		g.Leave(unix)
		expect(t, g, "", unix)
		g.Leave(unix)
		expect(t, g, SessionsPerSecond, unix)

		want := map[Refusal]uint64{Denied: 3, MaxSessions: 100, SessionsPerSecond: 1, MaxSessionsPerSource: 100, SessionsPerSecondPerSource: 100}
		if got := maps.Collect(g.Refused()); !maps.Equal(got, want) {
			t.Errorf("refused: %v, want %v", got, want)
		}
	})
}

// If several limits are reached, the first one in the order of the constants is the reason.
func TestGateReturnsTheFirstReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := Policy{Deny: networks("198.51.100.0/24"), MaxSessions: 1, SessionsPerSecond: 1, MaxSessionsPerSource: 1, SessionsPerSecondPerSource: 1}
		g := NewGate(p, nil)
		expect(t, g, "", one)
		expect(t, g, Denied, other)
		expect(t, g, MaxSessions, one)
		p.MaxSessions = 0
		expect(t, NewGate(p, g), SessionsPerSecond, one)
		p.SessionsPerSecond = 0
		expect(t, NewGate(p, g), MaxSessionsPerSource, one)
		p.MaxSessionsPerSource = 0
		expect(t, NewGate(p, g), SessionsPerSecondPerSource, one)
		p.SessionsPerSecondPerSource = 0
		expect(t, NewGate(p, g), "", one)
	})
}

func TestGateAfterReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := NewGate(Policy{}, nil)
		expect(t, free, "", one, two)

		strict := NewGate(Policy{MaxSessions: 4, MaxSessionsPerSource: 1, SessionsPerSecondPerSource: 1}, free)
		expect(t, strict, "", one)
		expect(t, strict, MaxSessionsPerSource, one)
		expect(t, strict, "", two)
		expect(t, strict, MaxSessions, other) // counting those of the previous gate
		free.Leave(one)
		expect(t, strict, MaxSessionsPerSource, one) // was admitted before the limit, so leaving does not help
		free.Leave(two)

		more := NewGate(Policy{MaxSessionsPerSource: 3, SessionsPerSecondPerSource: 1}, strict)
		expect(t, more, SessionsPerSecondPerSource, one)
		time.Sleep(time.Second)
		expect(t, more, "", one)

		none := NewGate(Policy{MaxSessions: 3}, more)
		expect(t, none, MaxSessions, other)
		strict.Leave(one)
		expect(t, none, "", other)
		strict.Leave(two)
		more.Leave(one)
		none.Leave(other)
		time.Sleep(time.Second)
		for _, g := range []*Gate{free, strict, more, none} {
			empty(t, g)
		}
		want := map[Refusal]uint64{Denied: 0, MaxSessions: 2, SessionsPerSecond: 0, MaxSessionsPerSource: 2, SessionsPerSecondPerSource: 1}
		if got := maps.Collect(none.Refused()); !maps.Equal(got, want) {
			t.Errorf("refused: %v, want %v", got, want)
		}
	})
}

// Clients that were admitted while there was no rate do not use up a later one.
func TestGateWithANewRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(Policy{MaxSessions: 100, MaxSessionsPerSource: 100}, nil)
		expect(t, g, "", one, one, one, one, one)
		g = NewGate(Policy{SessionsPerSecond: 4, SessionsPerSecondPerSource: 2}, g)
		expect(t, g, "", one, one, two, two)
		expect(t, g, SessionsPerSecond, one)
	})
}

func TestNoGate(t *testing.T) {
	var g *Gate
	expect(t, g, "", one, unix)
	g.Leave(one)
	g.Leave(unix)
	empty(t, g)
	for refusal, n := range g.Refused() {
		if n != 0 || refusal == "" {
			t.Errorf("%d refused as %q by a nil gate", n, refusal)
		}
	}
}

// With many clients at the same time, no limit is exceeded, no client is refused while there is room, and no client is open
// when all have left.
func TestGateUnderLoad(t *testing.T) {
	const limit, perSource, sources, each = 24, 5, 7, 4
	first := NewGate(Policy{MaxSessions: limit, MaxSessionsPerSource: perSource, SessionsPerSecondPerSource: 1_000_000}, nil)
	var open atomic.Int64
	var of [sources]atomic.Int64
	var all sync.WaitGroup
	for i := range sources {
		for range each {
			all.Go(func() {
				g := first
				source := netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
				for round := range 3000 {
					if round%100 == 0 {
						g = NewGate(g.policy, g)
					}
					switch refusal := g.Enter(source); refusal {
					case "":
						if n, m := open.Add(1), of[i].Add(1); n > limit || m > perSource {
							t.Errorf("%d open, %d of one source", n, m)
						}
						open.Add(-1)
						of[i].Add(-1)
						g.Leave(source)
					case MaxSessions: // 28 goroutines may try at once
					default:
						t.Errorf("%q, of at most %d of one source", refusal, each)
					}
				}
			})
		}
	}
	all.Wait()
	if first.Open() != 0 {
		t.Errorf("%d open after all have left", first.Open())
	}
}

// A gate admits what a plain list of open clients and of the times of admission allows.
func TestGateFollowsItsPolicy(t *testing.T) {
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			policy := Policy{MaxSessions: 8, MaxSessionsPerSource: 3, SessionsPerSecond: 20, SessionsPerSecondPerSource: 5}
			g := NewGate(policy, nil)
			var open []netip.Addr
			admitted := []time.Time{} // of all, and of each source
			admittedFrom := map[netip.Addr][]time.Time{}
			for range 3000 {
				time.Sleep(time.Duration(random.IntN(60)) * time.Millisecond)
				if len(open) > 0 && random.IntN(5) < 2 {
					i := random.IntN(len(open))
					g.Leave(open[i])
					open = append(open[:i], open[i+1:]...)
					continue
				}
				source := netip.AddrFrom4([4]byte{10, 0, 0, byte(random.IntN(1 + random.IntN(6)))})
				here := 0
				for _, a := range open {
					if a == source {
						here++
					}
				}
				got := g.Enter(source)
				switch {
				case got == "" && (len(open) >= policy.MaxSessions || here >= policy.MaxSessionsPerSource):
					t.Fatalf("one too many admitted: %d open, %d of its source", len(open), here)
				case got == MaxSessions && len(open) < policy.MaxSessions, got == MaxSessionsPerSource && here < policy.MaxSessionsPerSource:
					t.Fatalf("%q: %d open, %d of its source", got, len(open), here)
				// A bucket from which nothing was taken in the last second is full.
				case got == SessionsPerSecond && within(admitted) < 1, got == SessionsPerSecondPerSource && within(admittedFrom[source]) < 1:
					t.Fatalf("%q, and nobody was admitted in the last second", got)
				}
				if got == "" {
					open = append(open, source)
					admitted, admittedFrom[source] = append(admitted, time.Now()), append(admittedFrom[source], time.Now())
					// The burst, and what is gained in a second.
					if n, m := within(admitted), within(admittedFrom[source]); n > 2*policy.SessionsPerSecond || m > 2*policy.SessionsPerSecondPerSource {
						t.Fatalf("%d in a second, %d of one source", n, m)
					}
				}
				if g.Open() != len(open) {
					t.Fatalf("%d open, want %d", g.Open(), len(open))
				}
			}
			for _, source := range open {
				g.Leave(source)
			}
			time.Sleep(time.Second)
			empty(t, g)
		})
	}
}

// within counts the times in the last second.
func within(times []time.Time) (n int) {
	for i := len(times) - 1; i >= 0 && time.Since(times[i]) < time.Second; i-- {
		n++
	}
	return n
}

var busy = Policy{
	Allow: networks("0.0.0.0/1", "2001:db8::/32"), Deny: networks("10.9.0.0/16"),
	MaxSessions: 1_000_000, MaxSessionsPerSource: 1_000_000, SessionsPerSecond: 1_000_000, SessionsPerSecondPerSource: 1_000_000,
}

func TestGateAllocatesNothing(t *testing.T) {
	g := NewGate(busy, nil)
	random := rand.New(rand.NewPCG(1, 2))
	list := make([]netip.Addr, 200)
	for i := range list {
		list[i] = netip.AddrFrom4([4]byte{10, byte(random.Uint32()), 0, byte(i)})
	}
	admitted := make([]bool, len(list))
	all := func() {
		for i, source := range list {
			admitted[i] = g.Enter(source) == ""
		}
		for i, source := range list {
			if admitted[i] {
				g.Leave(source)
			}
		}
	}
	all() // allocates the table
	if n := testing.AllocsPerRun(100, all); n != 0 {
		t.Errorf("%v allocations for %d clients", n, len(list))
	}
}

func BenchmarkGate(b *testing.B) {
	for _, c := range []struct {
		name   string
		policy Policy
	}{
		{"open", Policy{}},
		{"max_sessions", Policy{MaxSessions: 1000}},
		{"per_source", Policy{MaxSessionsPerSource: 1000}},
		{"everything", busy},
	} {
		for _, sources := range []int{1, 100_000} {
			b.Run(fmt.Sprintf("%s/%d_sources", c.name, sources), func(b *testing.B) {
				g := NewGate(c.policy, nil)
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					random := rand.New(rand.NewPCG(1, 2))
					for pb.Next() {
						n := random.IntN(sources)
						source := netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
						if g.Enter(source) == "" {
							g.Leave(source)
						}
					}
				})
			})
		}
	}
}

// A client whose session goes on in another engine counts, whatever the limits and rates are, and those who come later are refused.
func TestGateReenter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := netip.MustParseAddr("192.0.2.1")
		g := NewGate(Policy{MaxSessions: 2, MaxSessionsPerSource: 1, SessionsPerSecondPerSource: 1}, nil)
		expect(t, g, "", a)
		g.Leave(a)
		for range 3 {
			g.Reenter(a)
		}
		if g.Open() != 3 {
			t.Errorf("%d are open", g.Open())
		}
		expect(t, g, MaxSessions, a)
		g.Leave(a)
		g.Leave(a)
		time.Sleep(2 * time.Second)
		expect(t, g, MaxSessionsPerSource, a)
		g.Leave(a)
		expect(t, g, "", a)
		g.Leave(a)
		time.Sleep(2 * time.Second)
		empty(t, g)
		(*Gate)(nil).Reenter(a)
	})
}
