package upstream

import (
	"math/bits"
	"slices"
)

// maxDraws bounds how often random draws again when it has drawn a target that cannot be picked. After that it goes
// through the targets that can.
const maxDraws = 16

// random picks by weight among the live targets that the session has not tried, except the one at index but (-1: no
// exception). It returns -1 if there is none.
func (p *priority) random(tried *Attempts, but int) int {
	if p.tree.min() > maxAlive {
		return -1
	}
	for range maxDraws {
		index := p.randomAny()
		if index != but && p.tree.key(index) <= maxAlive && !tried.has(p.targets[index]) {
			return index
		}
	}
	total := uint64(0)
	for index := p.next(0, maxAlive, tried); index >= 0; index = p.next(index+1, maxAlive, tried) {
		if index != but {
			total += uint64(p.targets[index].Weight)
		}
	}
	if total == 0 {
		return -1
	}
	at, last := p.randBelow(total), -1
	for index := p.next(0, maxAlive, tried); index >= 0; index = p.next(index+1, maxAlive, tried) {
		if index == but {
			continue
		}
		weight := uint64(p.targets[index].Weight)
		if at < weight {
			return index
		}
		at, last = at-weight, index
	}
	return last
}

// randomAny picks by weight among all targets.
func (p *priority) randomAny() int {
	index, found := slices.BinarySearch(p.cumulative, p.randBelow(p.totalWeight))
	if found {
		index++
	}
	return index
}

// randBelow returns a random number in [0, n).
func (p *priority) randBelow(n uint64) uint64 {
	number, _ := bits.Mul64(p.rand(), n)
	return number
}
