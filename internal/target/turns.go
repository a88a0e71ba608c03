package target

import "slices"

// turns lays out one cycle of smooth weighted round-robin: index i stands in it weights[i] times (divided by what all
// weights have in common), and its places are spread evenly over the cycle. Targets of equal weight take turns, in
// their order, so that equal weights give plain rotation.
//
// Place k of a target of weight w is due at (k+½)/w of the cycle; those of the same weight are staggered within that
// interval so that they do not come in a bunch.
func turns(weights []int) []int {
	common, peers := 0, map[int]int{}
	for _, w := range weights {
		common = gcd(common, w)
		peers[w]++
	}
	type place struct {
		due   float64
		index int
	}
	var places []place
	seen := map[int]int{}
	for i, w := range weights {
		stagger := (float64(seen[w]) + 0.5) / float64(peers[w])
		seen[w]++
		for k := range w / common {
			places = append(places, place{(float64(k) + stagger) / float64(w/common), i})
		}
	}
	slices.SortStableFunc(places, func(a, b place) int {
		switch {
		case a.due < b.due:
			return -1
		case a.due > b.due:
			return 1
		}
		return 0
	})
	cycle := make([]int, len(places))
	for i, p := range places {
		cycle[i] = p.index
	}
	return cycle
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
