package upstream

import (
	"math"
	"sync/atomic"
)

// turns is a rotation: places take turns by their weights, evenly spread, each exactly its share of a cycle. Turns that
// are passed over are lost, so that those that are not share them by weight again.
//
// A cycle is a number of rounds. A round gives each place, in order, at most one turn: a place of weight w has one in w
// rounds of a cycle, as far apart as rounds allow, and places of equal weight are staggered. More rounds make it
// smoother, and longer to find a turn: there are as many as keep the way to the next turn short.
type turns struct {
	next   atomic.Uint64 // round times places, plus place
	places uint64
	rounds uint64
	shares []share // nil if all weights are equal: there is one round then
}

// share says which rounds a place has a turn in.
type share struct{ weight, offset uint64 }

// smoothness is how many places are looked at for a turn, on average, for the sake of a smoother rotation.
const smoothness = 16

// layOut makes a rotation of places with these weights, from the first turn on.
func (x *turns) layOut(weights []int) {
	common, total, most, peers := 0, 0, 0, map[int]int{}
	for _, w := range weights {
		common = gcd(common, w)
		total += w
		most = max(most, w)
		peers[w]++
	}
	x.places, x.rounds = uint64(len(weights)), 1
	if len(peers) <= 1 {
		return
	}
	total, most = total/common, most/common
	rounds := min(max(most, smoothness*total/len(weights)), total)
	x.rounds = uint64(rounds)
	x.shares = make([]share, len(weights))
	seen := map[int]int{}
	for i, w := range weights {
		x.shares[i] = share{uint64(w / common), uint64((2*(peers[w]-seen[w]) - 1) * rounds / (2 * peers[w]))}
		seen[w]++
	}
}

// take takes the next turn of those places that find gives: the first from a place on, or -1. It returns the place, or
// -1 if there is none.
func (x *turns) take(find func(from int) int) int {
	for {
		turn := x.next.Load()
		place, after := x.look(turn, find)
		if place < 0 || x.next.CompareAndSwap(turn, after) {
			return place
		}
	}
}

// follow goes on where another rotation is.
func (x *turns) follow(before *turns) {
	turn := before.next.Load()
	x.next.Store(turn/before.places*x.places + min(turn%before.places, x.places))
}

// look finds the next turn from one on, and the turn after it.
func (x *turns) look(turn uint64, find func(from int) int) (place int, after uint64) {
	round, from := turn/x.places, int(turn%x.places)
	for {
		soonest := uint64(math.MaxUint64) // rounds until any of the places has a turn
		for place = find(from); place >= 0; place = find(place + 1) {
			wait := x.wait(place, round)
			if wait == 0 {
				return place, round*x.places + uint64(place) + 1
			}
			soonest = min(soonest, wait)
		}
		switch {
		case from > 0: // the places before it have not been asked
			round, from = round+1, 0
		case soonest == math.MaxUint64:
			return -1, 0
		default:
			round += soonest
		}
	}
}

// wait is how many rounds a place has to wait for a turn; 0 if it has one in this round.
func (x *turns) wait(place int, round uint64) uint64 {
	if x.shares == nil {
		return 0
	}
	s := x.shares[place]
	at := (s.weight*(round%x.rounds) + s.offset) % x.rounds
	if at < s.weight {
		return 0
	}
	return (x.rounds - at + s.weight - 1) / s.weight
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
