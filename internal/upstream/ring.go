package upstream

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/bits"
	"net/netip"
	"slices"
)

// ring is multi-probe consistent hashing (Appleton and O'Reilly, 2015). Targets are points on a ring, by the hash of
// their address, in proportion to their weight. A client is hashed to some places on the ring; of the points that come
// next after each, the nearest is the client's. So its target depends on nothing but the addresses and weights, every
// node gives the same, and who loses its target alone gets another, until that is back.
//
// Targets have their shares to about 4 % (standard deviation). The ring is bounded: with weights that add up to more
// than maxPoints/pointsEach, all targets have half as many points each time the sum doubles, and many clients move then.
type ring struct {
	points []point  // in their order on the ring
	starts []int32  // for each of an equal part of the ring, the first point that is not before it
	shift  int      // of a place on the ring, for its part
	hashes []uint64 // of the targets
	counts []int    // of their points
	detour int      // how many points that cannot be taken are passed by, at first, before find turns to findAmongFew
}

type point struct {
	at    uint64
	place int32 // of the target
}

const (
	probes     = 21 // places that a client is hashed to
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
	for place, t := range targets {
		h, count := hashOfText(t.endpoint.String()), max(1, t.Weight*pointsEach/parts)
		g.hashes, g.counts = append(g.hashes, h), append(g.counts, count)
		for n := range count {
			g.points = append(g.points, point{scramble(h + uint64(n)*golden), int32(place)})
		}
	}
	slices.SortFunc(g.points, func(a, b point) int { return cmp.Compare(a.at, b.at) })
	size := bits.Len(uint(len(g.points)))
	g.shift = 64 - size
	g.starts = make([]int32, 1<<size)
	g.detour = 1 << ((size + 1) / 2)
	n := 0
	for part := range g.starts {
		for n < len(g.points) && g.points[n].at>>g.shift < uint64(part) {
			n++
		}
		g.starts[part] = int32(n)
	}
	return g
}

// find gives the target of a client, of those who live and were not tried; -1 if there is none.
func (g *ring) find(client uint64, r *tier, tried *Attempts) int {
	if r.tree.least() > lives {
		return -1
	}
	best, least, passed := -1, uint64(math.MaxUint64), 0
	for n := range probes {
		at := scramble(client + uint64(n)*golden)
		for i := g.after(at); ; i++ {
			if i == len(g.points) {
				i = 0
			}
			p := g.points[i]
			if r.tree.at(int(p.place)) <= lives && !tried.has(r.targets[p.place]) {
				if way := p.at - at; way < least {
					best, least = int(p.place), way
				}
				break
			}
			if passed++; passed > g.detour+n*g.detour/4 {
				return g.findAmongFew(client, r, tried)
			}
		}
	}
	return best
}

// after is the first point from a place of the ring on; past the last, if there is none.
func (g *ring) after(at uint64) int {
	i := int(g.starts[at>>g.shift])
	for i < len(g.points) && g.points[i].at < at {
		i++
	}
	return i
}

// findAmongFew gives the same as find, and goes through the targets that can be taken for it.
func (g *ring) findAmongFew(client uint64, r *tier, tried *Attempts) int {
	var from [probes]uint64
	for n := range from {
		from[n] = scramble(client + uint64(n)*golden)
	}
	best, least := -1, uint64(math.MaxUint64)
	for place := r.next(0, lives, tried); place >= 0; place = r.next(place+1, lives, tried) {
		for n := range uint64(g.counts[place]) {
			point := scramble(g.hashes[place] + n*golden)
			for _, at := range from {
				if way := point - at; way < least {
					best, least = place, way
				}
			}
		}
	}
	return best
}

// golden is 2^64 divided by the golden ratio: what is that far apart is spread well by scramble.
const golden = 0x9e3779b97f4a7c15

// scramble spreads numbers over all 64 bits, each to another (the finalizer of MurmurHash3).
func scramble(x uint64) uint64 {
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
	return scramble(h)
}

// hashOf hashes an IP address; IPv4 and the same mapped into IPv6 are one.
func hashOf(source netip.Addr) uint64 {
	b := source.As16()
	return scramble(scramble(binary.BigEndian.Uint64(b[:8])+golden) + binary.BigEndian.Uint64(b[8:]))
}
