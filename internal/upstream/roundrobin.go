package upstream

import (
	"math"
	"sync/atomic"
)

// roundRobin is weighted round-robin: each index gets exactly its share of the turns of a cycle, evenly spread. A
// turn of an index that cannot be used is skipped, so the others share it by weight.
//
// A cycle has a number of rounds. In a round each index, in order, has at most one turn: an index of weight w has a
// turn in w rounds of a cycle, as far apart as possible, and indices of equal weight are staggered. More rounds are
// smoother, but it takes longer to find a turn; init chooses as many as keep the way to the next turn short.
type roundRobin struct {
	position atomic.Uint64 // round*size + index of the next turn
	size     uint64        // number of indices
	rounds   uint64
	shares   []share // nil if all weights are equal: there is one round then
}

// share says in which rounds an index has a turn.
type share struct{ weight, offset uint64 }

// smoothness is how many indices next may look at, on average, to find a turn.
const smoothness = 16

// init makes a cycle for these weights and starts with its first turn.
func (x *roundRobin) init(weights []int) {
	common, total, most, peers := 0, 0, 0, map[int]int{}
	for _, w := range weights {
		common = gcd(common, w)
		total += w
		most = max(most, w)
		peers[w]++
	}
	x.size, x.rounds = uint64(len(weights)), 1
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

// next takes the next turn of the indices that can be used, and returns its index, or -1 if there is none. usable
// returns the first index, at or after from, that can be used, or -1.
func (x *roundRobin) next(usable func(from int) int) int {
	for {
		turn := x.position.Load()
		index, after := x.find(turn, usable)
		if index < 0 || x.position.CompareAndSwap(turn, after) {
			return index
		}
	}
}

// continueFrom starts at the position of another cycle.
func (x *roundRobin) continueFrom(before *roundRobin) {
	turn := before.position.Load()
	x.position.Store(turn/before.size*x.size + min(turn%before.size, x.size))
}

// find returns the index of the next turn at or after turn, and the turn after that one.
func (x *roundRobin) find(turn uint64, usable func(from int) int) (index int, after uint64) {
	round, from := turn/x.size, int(turn%x.size)
	for {
		soonest := uint64(math.MaxUint64) // rounds until any index has a turn
		for index = usable(from); index >= 0; index = usable(index + 1) {
			wait := x.roundsUntilTurn(index, round)
			if wait == 0 {
				return index, round*x.size + uint64(index) + 1
			}
			soonest = min(soonest, wait)
		}
		switch {
		case from > 0: // the indices before from were not looked at
			round, from = round+1, 0
		case soonest == math.MaxUint64:
			return -1, 0
		default:
			round += soonest
		}
	}
}

// roundsUntilTurn returns for how many rounds an index has no turn; 0 if it has one in this round.
func (x *roundRobin) roundsUntilTurn(index int, round uint64) uint64 {
	if x.shares == nil {
		return 0
	}
	s := x.shares[index]
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
