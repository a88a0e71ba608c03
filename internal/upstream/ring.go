package upstream

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/bits"
	"net/netip"
	"slices"
)

// ring is multi-probe consistent hashing (Appleton and O'Reilly, 2015). Each target is a number of points on a ring,
// by the hash of its address and in proportion to its weight. A client is hashed to several positions; of the next
// points after each position, the nearest is the client's. So the target of a client depends only on the addresses
// and weights, and is the same on every node. If a target fails, only its clients get another, until it is back.
//
// The share of a target is exact to about 4 % (standard deviation). The size of the ring is bounded: if the weights
// add up to more than maxPoints/pointsEach, all targets have half as many points each time the sum doubles, and many
// clients move then.
type ring struct {
	points   []point  // in their order on the ring
	starts   []int32  // for each of the equal parts of the ring, the first point at or after its begin
	shift    int      // position >> shift is its part
	hashes   []uint64 // of the targets
	counts   []int    // of the points of each target
	maxSkips int      // find skips about so many points that cannot be picked before it turns to findByCandidates
}

type point struct {
	at    uint64
	index int32 // of the target
}

const (
	probes     = 21 // positions of a client
	pointsEach = 16 // points for each unit of weight
	maxPoints  = 1 << 18
)

func newRing(targets []*Target) *ring {
	g := &ring{}
	total := 0
	for _, t := range targets {
		total += t.Weight
	}
	parts := 1
	for total*pointsEach/parts > maxPoints {
		parts *= 2
	}
	for index, t := range targets {
		h, count := hashOfText(t.endpoint.String()), max(1, t.Weight*pointsEach/parts)
		g.hashes, g.counts = append(g.hashes, h), append(g.counts, count)
		for n := range count {
			g.points = append(g.points, point{mix(h + uint64(n)*golden), int32(index)})
		}
	}
	slices.SortFunc(g.points, func(a, b point) int { return cmp.Compare(a.at, b.at) })
	size := bits.Len(uint(len(g.points)))
	g.shift = 64 - size
	g.starts = make([]int32, 1<<size)
	g.maxSkips = 1 << ((size + 1) / 2)
	n := 0
	for part := range g.starts {
		for n < len(g.points) && g.points[n].at>>g.shift < uint64(part) {
			n++
		}
		g.starts[part] = int32(n)
	}
	return g
}

// find returns the index of the live, untried target of a client; -1 if there is none.
func (g *ring) find(client uint64, r *priority, tried *Attempts) int {
	if r.tree.min() > maxAlive {
		return -1
	}
	best, least, passed := -1, uint64(math.MaxUint64), 0
	for n := range probes {
		at := mix(client + uint64(n)*golden)
		for i := g.pointAfter(at); ; i++ {
			if i == len(g.points) {
				i = 0
			}
			p := g.points[i]
			if r.tree.key(int(p.index)) <= maxAlive && !tried.has(r.targets[p.index]) {
				if way := p.at - at; way < least {
					best, least = int(p.index), way
				}
				break
			}
			if passed++; passed > g.maxSkips+n*g.maxSkips/4 {
				return g.findByCandidates(client, r, tried)
			}
		}
	}
	return best
}

// pointAfter returns the first point at or after a position; len(points) if there is none.
func (g *ring) pointAfter(at uint64) int {
	i := int(g.starts[at>>g.shift])
	for i < len(g.points) && g.points[i].at < at {
		i++
	}
	return i
}

// findByCandidates returns the same as find, by going through the targets that can be picked.
func (g *ring) findByCandidates(client uint64, r *priority, tried *Attempts) int {
	var from [probes]uint64
	for n := range from {
		from[n] = mix(client + uint64(n)*golden)
	}
	best, least := -1, uint64(math.MaxUint64)
	for index := r.next(0, maxAlive, tried); index >= 0; index = r.next(index+1, maxAlive, tried) {
		for n := range uint64(g.counts[index]) {
			point := mix(g.hashes[index] + n*golden)
			for _, at := range from {
				if way := point - at; way < least {
					best, least = index, way
				}
			}
		}
	}
	return best
}

// golden is 2^64 divided by the golden ratio: mix spreads its multiples well.
const golden = 0x9e3779b97f4a7c15

// mix is a bijection that spreads numbers over all 64 bits (the finalizer of MurmurHash3).
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// hashOfText is FNV-1a.
func hashOfText(text string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 0x100000001b3
	}
	return mix(h)
}

// hashOf hashes an IP address; an IPv4 address and its IPv4-mapped IPv6 form are the same.
func hashOf(source netip.Addr) uint64 {
	b := source.As16()
	return mix(mix(binary.BigEndian.Uint64(b[:8])+golden) + binary.BigEndian.Uint64(b[8:]))
}
