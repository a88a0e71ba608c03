package upstream

import (
	"fmt"
	"slices"
	"testing"
)

// everyone is a find of turns.take that passes nobody over.
func everyone(places int) func(int) int {
	return func(from int) int {
		if from >= places {
			return -1
		}
		return from
	}
}

// cycleOf is the places that have the turns of one cycle.
func cycleOf(weights []int) (cycle []int) {
	var x turns
	x.layOut(weights)
	common, total := 0, 0
	for _, w := range weights {
		common, total = gcd(common, w), total+w
	}
	for range total / common {
		cycle = append(cycle, x.take(everyone(len(weights))))
	}
	return cycle
}

func TestTurns(t *testing.T) {
	for _, c := range []struct {
		weights []int
		want    string
	}{
		{[]int{7}, "[0]"},
		{[]int{1, 1, 1}, "[0 1 2]"},
		{[]int{4, 4, 4, 4}, "[0 1 2 3]"},
		{[]int{2, 1}, "[0 0 1]"},
		{[]int{5, 1, 1}, "[0 0 1 0 0 0 2]"},
		{[]int{2, 4}, "[1 1 0]"},
	} {
		if got := fmt.Sprint(cycleOf(c.weights)); got != c.want {
			t.Errorf("turns of %v: %s, want %s", c.weights, got, c.want)
		}
	}
}

// Each place has exactly its share of a cycle, and no place waits much longer for its next turn than evenly: by one turn
// for each of the others at most. That is what smooth means.
func TestTurnsAreExactAndSmooth(t *testing.T) {
	for _, weights := range [][]int{
		{3, 2, 1}, {10, 1}, {256, 1, 1}, {7, 5, 3, 2}, {1, 2, 4, 8, 16}, {9, 9, 1, 1, 1}, {5, 2, 1},
		slices.Concat(slices.Repeat([]int{1}, 500), []int{256, 100, 3}),
	} {
		cycle := cycleOf(weights)
		for i, w := range weights {
			places := []int{}
			for at, index := range slices.Concat(cycle, cycle) {
				if index == i {
					places = append(places, at)
				}
			}
			if len(places) != 2*w {
				t.Errorf("%v: place %d has %d turns, want %d", weights, i, len(places)/2, w)
			}
			even := float64(len(cycle)) / float64(w)
			for k := 1; k < len(places); k++ {
				if gap := float64(places[k] - places[k-1]); gap > even+float64(len(weights)) {
					t.Errorf("%v: place %d waits %v turns, evenly it would be %.1f", weights, i, gap, even)
				}
			}
		}
	}
}

// The heavy place of a few never has more turns in a row than it has to.
func TestTurnsDoNotBunch(t *testing.T) {
	for _, c := range []struct {
		weights []int
		most    int
	}{
		{[]int{5, 2, 1}, 3}, {[]int{3, 2, 1}, 2}, {[]int{1, 1, 2}, 1}, {[]int{10, 1}, 10}, {[]int{256, 128, 64}, 2},
	} {
		cycle := cycleOf(c.weights)
		row, longest := 0, 0
		for i, place := range slices.Concat(cycle, cycle) {
			if i > 0 && place != cycle[(i-1)%len(cycle)] {
				row = 0
			}
			row++
			longest = max(longest, row)
		}
		if longest > c.most {
			t.Errorf("%v: %d turns in a row, want %d at most: %v", c.weights, longest, c.most, cycle)
		}
	}
}

// Those that are not passed over share the turns by their weights, exactly, however many are passed over; and the way to
// the next turn is short.
func TestTurnsAmongTheLeft(t *testing.T) {
	weights := make([]int, 10000)
	for i := range weights {
		weights[i] = 1 + i*7%256
	}
	var x turns
	x.layOut(weights)
	for _, left := range [][]int{{4711}, {3, 9999}, {17, 18, 5000, 9000}} {
		total := 0
		for _, place := range left {
			total += weights[place]
		}
		asked := 0
		find := func(from int) int {
			asked++
			at, _ := slices.BinarySearch(left, from)
			if at == len(left) {
				return -1
			}
			return left[at]
		}
		counts := map[int]int{}
		for range total {
			counts[x.take(find)]++
		}
		for _, place := range left {
			if got, want := counts[place], weights[place]; got != want {
				t.Errorf("of %v, %d had %d turns, want %d", left, place, got, want)
			}
		}
		if each := asked / total; each > 4*(len(left)+1) {
			t.Errorf("of %v, it took %d looks to find a turn", left, each)
		}
	}
	if x.take(func(int) int { return -1 }) != -1 {
		t.Error("a turn of nobody")
	}
}

func TestTurnsGoOn(t *testing.T) {
	var before, after turns
	before.layOut([]int{1, 1, 1, 1})
	for range 7 {
		before.take(everyone(4))
	}
	after.layOut([]int{1, 1, 1, 1, 1})
	after.follow(&before)
	if got := after.take(everyone(5)); got != 3 {
		t.Errorf("the next is %d, want 3", got)
	}
	after.layOut([]int{1, 1})
	after.follow(&before)
	if got := after.take(everyone(2)); got != 0 {
		t.Errorf("the next is %d, want 0", got)
	}
}
