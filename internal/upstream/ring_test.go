package upstream

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"tcp-proxy/internal/config"
)

// client is the address of the nth client, of both families.
func client(n int) netip.Addr {
	if n%2 == 0 {
		return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
	}
	return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 13: byte(n >> 16), 14: byte(n >> 8), 15: byte(n)})
}

// homes is the target of each of n clients.
func homes(t *testing.T, s *Set, n int) []string {
	t.Helper()
	list := make([]string, n)
	for i := range list {
		x := pickFrom(t, s, client(i))
		list[i] = x.endpoint.String()
		x.Release()
	}
	return list
}

// Each target has about its share of the clients.
func TestSourceHashShares(t *testing.T) {
	const clients = 20000
	for _, weights := range [][]int{{1, 1}, {1, 1, 1}, slices.Repeat([]int{1}, 10), slices.Repeat([]int{1}, 30), {1, 2, 3, 4}, {50, 100, 100}} {
		s := balanced(config.BalanceSourceHash, weighing(weights...))
		total := 0
		for _, w := range weights {
			total += w
		}
		for i, n := range tally(t, s, clients, client) {
			fair := float64(clients) * float64(weights[i]) / float64(total)
			if share := float64(n) / fair; share < 0.85 || share > 1.12 {
				t.Errorf("of %d targets, %d has %.2f of its share", len(weights), i, share)
			}
		}
	}
}

// Every node picks the same target, whatever the order of its targets, and in every release.
func TestSourceHashIsTheSameEverywhere(t *testing.T) {
	unixTarget := config.Target{Address: config.Address{Network: "unix", Path: "/run/app.sock"}, Weight: 2}
	targets := append(weighing(1, 1, 3), unixTarget)
	s := balanced(config.BalanceSourceHash, targets)
	want := homes(t, s, 2000)
	if got := fmt.Sprint(want[:12]); got != "[unix:/run/app.sock 10.0.0.1:80 10.0.0.2:80 10.0.0.1:80 10.0.0.0:80 10.0.0.2:80 10.0.0.0:80 10.0.0.2:80 unix:/run/app.sock 10.0.0.2:80 10.0.0.0:80 10.0.0.2:80]" {
		t.Errorf("clients changed their targets: %s", got)
	}
	slices.Reverse(targets)
	if !slices.Equal(homes(t, balanced(config.BalanceSourceHash, targets), 2000), want) {
		t.Error("the order of the targets changes the choice")
	}
	// An address of a name is the same target as the literal address.
	named := NewSet([]config.Target{targets[3], {Address: web, Weight: 1}, targets[1], targets[0]}, Policy{Balance: config.BalanceSourceHash}, nil)
	named.Resolved(web, endpoints("10.0.0.1:80"))
	if !slices.Equal(homes(t, named, 2000), want) {
		t.Error("an address of a name is chosen differently")
	}
	mapped := netip.AddrFrom16(client(2).As16())
	if a, b := pickFrom(t, s, client(2)), pickFrom(t, s, mapped); a != b {
		t.Errorf("IPv4 goes to %s, and mapped to %s", a.Name, b.Name)
	}
}

// Only the clients of a target move if it is dead, full, drained or removed, and they come back with it. An added
// target likewise takes over only its own clients.
func TestSourceHashMovesOnlyClientsOfTheChangedTarget(t *testing.T) {
	const clients = 5000
	targets := weighing(3, 3, 1, 2, 5, 5, 1, 1)
	for i := range targets {
		targets[i].MaxSessions = 1
	}
	s := balanced(config.BalanceSourceHash, targets)
	at := homes(t, s, clients)
	for i := range targets {
		x := s.All()[i]
		lost := x.endpoint.String()
		fewer := slices.Delete(slices.Clone(targets), i, i+1)
		for what, change := range map[string]struct {
			lose, giveBack func()
		}{
			"dead":    {func() { x.Failed(false, errConnect) }, func() { x.Connected(1) }},
			"drained": {func() { x.Drain(true) }, func() { x.Drain(false) }},
			"full":    {func() { x.reserve(true) }, func() { x.Release() }},
			"gone":    {func() { NewSet(fewer, s.policy.Policy, s).Activate() }, func() { s.Activate() }},
		} {
			x = s.All()[i]
			change.lose()
			without := homes(t, s, clients)
			change.giveBack()
			moved := map[string]int{}
			for c := range at {
				switch {
				case at[c] == lost && without[c] == lost:
					t.Fatalf("%s is %s, and has clients", lost, what)
				case at[c] == lost:
					moved[without[c]]++
				case at[c] != without[c]:
					t.Fatalf("%s is %s, and a client of %s goes to %s", lost, what, at[c], without[c])
				}
			}
			if len(moved) < 5 {
				t.Errorf("%s is %s: its clients all go to %v", lost, what, moved)
			}
			if !slices.Equal(homes(t, s, clients), at) {
				t.Fatalf("%s was %s, and its clients did not come back", lost, what)
			}
		}
	}
	s.Retire()
}

// If few of many targets are left, findByCandidates picks the same target as if they were the only ones.
func TestSourceHashFindByCandidates(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 3))
	targets := some(1500, func(i int, c *config.Target) { c.Weight = 1 + i%3 })
	s := balanced(config.BalanceSourceHash, targets)
	left := slices.Clone(s.All())
	for _, n := range []int{700, 100, 30, 5, 1, 0} {
		random.Shuffle(len(left), func(i, j int) { left[i], left[j] = left[j], left[i] })
		for _, x := range left[n:] {
			x.Drain(true)
		}
		left = left[:n]
		r := s.shared.active.Load().priorities[0]
		var alone []config.Target
		for _, x := range left {
			alone = append(alone, x.Target)
		}
		var other *Set
		if n > 0 {
			other = balanced(config.BalanceSourceHash, alone)
		}
		for i := range 300 {
			h := hashOf(client(i))
			index := r.ring.find(h, r, new(Attempts))
			if few := r.ring.findByCandidates(h, r, new(Attempts)); few != index {
				t.Fatalf("of %d, client %d goes to %d, or %d", n, i, index, few)
			}
			if n == 0 {
				if index >= 0 {
					t.Fatalf("of none, client %d goes to %d", i, index)
				}
				continue
			}
			if x := pickFrom(t, other, client(i)); x.endpoint != r.targets[index].endpoint {
				t.Fatalf("of %d, client %d goes to %s, and to %s if they are alone", n, i, r.targets[index].Name, x.Name)
			}
		}
	}
}

// The ring is bounded, however many targets there are and whatever their weights.
func TestRingIsBounded(t *testing.T) {
	for _, c := range []struct{ targets, weight, points int }{
		{1, 1, pointsEach}, {10000, 1, 10000 * pointsEach}, {10000, 256, maxPoints},
	} {
		g := newRing(balanced(config.BalanceFirst, some(c.targets, func(_ int, x *config.Target) { x.Weight = c.weight })).All())
		if n := len(g.points); n > c.points || n < c.points/2 {
			t.Errorf("%d targets of weight %d are %d points, want about %d", c.targets, c.weight, n, c.points)
		}
	}
}

// Clients without an address are spread by round-robin.
func TestSourceHashWithoutAddressIsRoundRobin(t *testing.T) {
	if got := letters(t, balanced(config.BalanceSourceHash, weighing(1, 1, 1)), 6); got != "abcabc" {
		t.Error(got)
	}
}

func BenchmarkNewRing(b *testing.B) {
	for _, weight := range []int{1, 256} {
		targets := balanced(config.BalanceFirst, some(10000, func(i int, c *config.Target) { c.Weight = weight })).All()
		b.Run(fmt.Sprintf("10000 of weight %d", weight), func(b *testing.B) {
			for b.Loop() {
				newRing(targets)
			}
		})
	}
}
