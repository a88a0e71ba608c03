package upstream

import (
	"math"
	"sync/atomic"
)

// tree finds the least of many keys, and the next key that is no more than some, in a few steps and without a lock.
// Every node above the leaves is the least of those below it. Whoever changes a key brings the nodes above it up to
// date; until then they may be wrong for others, who then find a key that is not what they looked for, or miss one.
type tree struct {
	levels [][]atomic.Uint64 // the keys, then the nodes above them, up to at most fan of them
}

const fan = 8

// newTree makes a tree of n keys, all of them math.MaxUint64.
func newTree(n int) *tree {
	k := &tree{}
	for {
		level := make([]atomic.Uint64, n)
		for i := range level {
			level[i].Store(math.MaxUint64)
		}
		k.levels = append(k.levels, level)
		if n <= fan {
			return k
		}
		n = (n + fan - 1) / fan
	}
}

// at is the key at a place.
func (k *tree) at(place int) uint64 { return k.levels[0][place].Load() }

// least is the least key.
func (k *tree) least() uint64 { return leastOf(k.levels[len(k.levels)-1]) }

func leastOf(cells []atomic.Uint64) uint64 {
	least := uint64(math.MaxUint64)
	for i := range cells {
		least = min(least, cells[i].Load())
	}
	return least
}

// set brings the key at a place up to date with what value gives, which is called until it gives the same twice, so
// that of several who do so at the same time the last word is a true one.
func (k *tree) set(place int, value func() uint64) {
	if !settle(&k.levels[0][place], value) {
		return
	}
	for n, level := range k.levels[1:] {
		below := k.levels[n]
		place /= fan
		family := below[place*fan : min(place*fan+fan, len(below))]
		if !settle(&level[place], func() uint64 { return leastOf(family) }) {
			return
		}
	}
}

// settle reports whether it changed the cell.
func settle(cell *atomic.Uint64, value func() uint64) (changed bool) {
	for {
		before := cell.Load()
		v := value()
		if before != v {
			if !cell.CompareAndSwap(before, v) {
				continue
			}
			changed = true
		}
		if value() == v {
			return changed
		}
	}
}

// next is the first place, from this one on, whose key is at most most; -1 if there is none.
func (k *tree) next(place int, most uint64) int {
	for n := 0; ; {
		level := k.levels[n]
		end := min(place/fan*fan+fan, len(level))
		for place < end && level[place].Load() > most {
			place++
		}
		switch {
		case place < end && n == 0:
			return place
		case place < end:
			n--
			place *= fan
		case n == len(k.levels)-1:
			return -1
		default:
			n++
			place = (place-1)/fan + 1
		}
	}
}
