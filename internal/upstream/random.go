package upstream

import (
	"math/bits"
	"slices"
)

// draws is how often a target is drawn that will not do before those that do are gone through.
const draws = 16

// draw chooses at random, by weight, among those who live and were not tried, but for one (-1: nobody); -1 if there is
// none.
func (r *tier) draw(tried *Attempts, but int) int {
	if r.tree.least() > lives {
		return -1
	}
	for range draws {
		place := r.drawAny()
		if place != but && r.tree.at(place) <= lives && !tried.has(r.targets[place]) {
			return place
		}
	}
	total := uint64(0)
	for place := r.next(0, lives, tried); place >= 0; place = r.next(place+1, lives, tried) {
		if place != but {
			total += uint64(r.targets[place].Weight)
		}
	}
	if total == 0 {
		return -1
	}
	at, last := r.upTo(total), -1
	for place := r.next(0, lives, tried); place >= 0; place = r.next(place+1, lives, tried) {
		if place == but {
			continue
		}
		weight := uint64(r.targets[place].Weight)
		if at < weight {
			return place
		}
		at, last = at-weight, place
	}
	return last
}

// drawAny chooses at random, by weight.
func (r *tier) drawAny() int {
	place, found := slices.BinarySearch(r.sums, r.upTo(r.total))
	if found {
		place++
	}
	return place
}

// upTo is a number at random from 0 to n-1.
func (r *tier) upTo(n uint64) uint64 {
	number, _ := bits.Mul64(r.rand(), n)
	return number
}
