package upstream

import (
	"math"
	"sync/atomic"
)

// minTree finds the least of many keys, and the next key up to a limit, in O(log n) and without a lock. A node above
// the leaves is the minimum of its children. Whoever changes a key updates the nodes above it; until then another
// reader may find a key above its limit, or miss one.
type minTree struct {
	levels [][]atomic.Uint64 // the keys, then the nodes above them, up to a level with at most fan nodes
}

// fan is the number of children of a node.
const fan = 8

// newMinTree makes a tree of n keys, all of them math.MaxUint64.
func newMinTree(n int) *minTree {
	k := &minTree{}
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

// key returns the key at index.
func (k *minTree) key(index int) uint64 { return k.levels[0][index].Load() }

// min returns the least key.
func (k *minTree) min() uint64 { return minOf(k.levels[len(k.levels)-1]) }

func minOf(cells []atomic.Uint64) uint64 {
	least := uint64(math.MaxUint64)
	for i := range cells {
		least = min(least, cells[i].Load())
	}
	return least
}

// set updates the key at index to the result of value. It calls value until two calls agree, so that after concurrent
// calls the key is up to date.
func (k *minTree) set(index int, value func() uint64) {
	if !updateCell(&k.levels[0][index], value) {
		return
	}
	for n, level := range k.levels[1:] {
		below := k.levels[n]
		index /= fan
		family := below[index*fan : min(index*fan+fan, len(below))]
		if !updateCell(&level[index], func() uint64 { return minOf(family) }) {
			return
		}
	}
}

// updateCell is set for one cell. It reports whether it changed the cell.
func updateCell(cell *atomic.Uint64, value func() uint64) (changed bool) {
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

// next returns the first index, from index on, whose key is at most most; -1 if there is none.
func (k *minTree) next(index int, most uint64) int {
	for n := 0; ; {
		level := k.levels[n]
		end := min(index/fan*fan+fan, len(level))
		for index < end && level[index].Load() > most {
			index++
		}
		switch {
		case index < end && n == 0:
			return index
		case index < end:
			n--
			index *= fan
		case n == len(k.levels)-1:
			return -1
		default:
			n++
			index = (index-1)/fan + 1
		}
	}
}
