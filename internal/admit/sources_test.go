package admit

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func address(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// narrow makes a gate with entries for few sources.
func narrow(p Policy, max int) *Gate {
	g := NewGate(p, nil)
	g.sources = newSources(max)
	return g
}

// The entry of a source is removed when its last client has left, or, if there is a rate, a second after that.
func TestSourcesAreRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(Policy{MaxSessionsPerSource: 5}, nil)
		for i := range 5000 {
			expect(t, g, "", address(i))
		}
		for i := range 5000 {
			g.Leave(address(i))
		}
		if len(g.sources.index) != 0 || len(g.sources.blocks) > 1 {
			t.Errorf("%d sources and %d blocks are left", len(g.sources.index), len(g.sources.blocks))
		}

		g = NewGate(Policy{SessionsPerSecondPerSource: 1}, nil)
		for i := range 5000 {
			expect(t, g, "", address(i))
			g.Leave(address(i))
		}
		time.Sleep(time.Second - time.Nanosecond)
		expect(t, g, SessionsPerSecondPerSource, address(7))
		if n := g.Sources(); n != 5000 {
			t.Errorf("%d sources within the second, want 5000", n)
		}
		time.Sleep(time.Nanosecond)
		// Each client that enters removes up to two entries, so the table shrinks without a call of Sources.
		for i := range 2000 {
			expect(t, g, "", address(10_000+i))
		}
		if n := len(g.sources.index); n > 5000+2000-2*2000+1 {
			t.Errorf("%d sources are left", n)
		}
		time.Sleep(time.Second)
		if n := g.Sources(); n != 2000 { // those with an open client
			t.Errorf("%d sources, want 2000", n)
		}
		for i := range 2000 {
			g.Leave(address(10_000 + i))
		}
		time.Sleep(time.Second)
		empty(t, g)
	})
}

// Entries are reused.
func TestSourcesReuseEntries(t *testing.T) {
	g := NewGate(Policy{MaxSessionsPerSource: 5}, nil)
	expect(t, g, "", one)
	for round := range 100 {
		for i := range 100 {
			expect(t, g, "", address(100*round+i))
		}
		for i := range 100 {
			g.Leave(address(100*round + i))
		}
	}
	if len(g.sources.blocks) != 1 {
		t.Errorf("%d blocks for 101 sources at a time", len(g.sources.blocks))
	}
	g.Leave(one)
	empty(t, g)
}

// A source that keeps trying with an empty bucket, or enters and leaves, does not keep other entries from being removed.
func TestSourcesAreRemovedBehindOneThatStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(Policy{SessionsPerSecondPerSource: 1}, nil)
		for i := range 100 {
			expect(t, g, "", address(i))
			g.Leave(address(i))
		}
		for range 50 {
			time.Sleep(100 * time.Millisecond)
			for i := range 10 {
				if g.Enter(address(i)) == "" {
					g.Leave(address(i))
				}
			}
		}
		if n := len(g.sources.index); n > 10 {
			t.Errorf("%d sources are kept, 10 of them still try", n)
		}
		time.Sleep(2 * time.Second)
		empty(t, g)
	})
}

// A flood of new sources does not loosen or tighten the limits of those that have an entry, and uses bounded memory.
func TestSourcesInAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const max = 100
		g := narrow(Policy{MaxSessionsPerSource: 3, SessionsPerSecondPerSource: 4}, max)
		for i := range max {
			expect(t, g, "", address(i), address(i), address(i))
		}
		let := map[netip.Addr]int{}
		for i := range 1000 * max {
			source := address(1_000_000 + i)
			switch refusal := g.Enter(source); refusal {
			case "":
				let[source]++
			case MaxSessionsPerSource:
			default:
				t.Fatalf("a new source is refused: %q", refusal)
			}
			if i%1000 == 0 {
				known := address(i / 1000)
				expect(t, g, MaxSessionsPerSource, known)
				g.Leave(known)
				expect(t, g, "", known) // its fourth in this second
				g.Leave(known)
				expect(t, g, SessionsPerSecondPerSource, known)
			}
		}
		if n := len(g.sources.index); n > max+sharedEntries {
			t.Errorf("%d entries, of %d for single sources", n, max)
		}
		total := 0
		for _, n := range let {
			total += n
		}
		if total > 3*sharedEntries || total < 2*sharedEntries {
			t.Errorf("%d clients of the flood are open: they share %d entries, each for 3", total, sharedEntries)
		}
		for source, n := range let {
			for range n {
				g.Leave(source)
			}
		}
		for i := range max {
			g.Leave(address(i))
			g.Leave(address(i))
		}
		time.Sleep(time.Second)
		empty(t, g)
	})
}

// In any order of entering and leaving, with own and shared entries, no client is counted twice or lost.
func TestSourcesAddUp(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			p := Policy{MaxSessionsPerSource: 1 + random.IntN(4), SessionsPerSecondPerSource: random.IntN(3)}
			g := narrow(p, 1+random.IntN(6))
			var open []netip.Addr
			for range 1000 {
				if random.IntN(10) == 0 {
					time.Sleep(time.Duration(random.IntN(700)) * time.Millisecond)
				}
				if source := address(random.IntN(20)); random.IntN(2) == 0 {
					if g.Enter(source) == "" {
						open = append(open, source)
					}
				} else if len(open) > 0 {
					i := random.IntN(len(open))
					g.Leave(open[i])
					open = append(open[:i], open[i+1:]...)
				}
				sum := 0
				for _, i := range g.sources.index {
					n := int(g.sources.at(i).sessions)
					if sum += n; n < 0 || n > p.MaxSessionsPerSource {
						t.Fatalf("%d open of one source, at most %d", n, p.MaxSessionsPerSource)
					}
				}
				if sum != len(open) || g.Open() != sum {
					t.Fatalf("%d and %d open, want %d", sum, g.Open(), len(open))
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
