package target

import (
	"fmt"
	"slices"
	"testing"
)

func TestTurns(t *testing.T) {
	for _, c := range []struct {
		weights []int
		want    string
	}{
		{nil, "[]"},
		{[]int{7}, "[0]"},
		{[]int{1, 1, 1}, "[0 1 2]"},
		{[]int{4, 4, 4, 4}, "[0 1 2 3]"},
		{[]int{2, 1}, "[0 0 1]"},
		{[]int{5, 1, 1}, "[0 0 1 0 0 0 2]"},
		{[]int{2, 4}, "[1 1 0]"},
	} {
		if got := fmt.Sprint(cycleOf(c.weights)); got != c.want {
			t.Errorf("turns(%v) = %s, want %s", c.weights, got, c.want)
		}
	}
}

// Each target has exactly its share of a cycle, and any stretch of the cycle holds its share to within one turn for
// each of the others that it has to make room for: that is what smooth means.
func TestTurnsAreExactAndSmooth(t *testing.T) {
	for _, weights := range [][]int{{3, 2, 1}, {10, 1}, {256, 1, 1}, {7, 5, 3, 2}, {1, 2, 4, 8, 16}, {9, 9, 1, 1, 1}} {
		cycle := cycleOf(weights)
		total := 0
		for _, w := range weights {
			total += w
		}
		if len(cycle) != total {
			t.Fatalf("%v: a cycle of %d turns, want %d", weights, len(cycle), total)
		}
		for i, w := range weights {
			places := []int{}
			for at, index := range slices.Concat(cycle, cycle[:]) {
				if index == i {
					places = append(places, at)
				}
			}
			if len(places) != 2*w {
				t.Errorf("%v: target %d has %d turns, want %d", weights, i, len(places)/2, w)
			}
			even := float64(total) / float64(w)
			for k := 1; k < len(places); k++ {
				if gap := float64(places[k] - places[k-1]); gap > even+float64(len(weights)) {
					t.Errorf("%v: target %d waits %v turns, evenly it would be %.1f", weights, i, gap, even)
				}
			}
		}
	}
}

// cycleOf is the places that have the turns of one cycle.
func cycleOf(weights []int) (cycle []int) {
	if len(weights) == 0 {
		return nil
	}
	var x turns
	x.layOut(weights)
	common, total := 0, 0
	for _, w := range weights {
		common, total = gcd(common, w), total+w
	}
	for range total / common {
		cycle = append(cycle, x.take(func(from int) int {
			if from == len(weights) {
				return -1
			}
			return from
		}))
	}
	return cycle
}
