package upstream

import (
	"fmt"
	"slices"
	"testing"
)

// anyIndex is the argument of roundRobin.next if every index can be used.
func anyIndex(indices int) func(int) int {
	return func(from int) int {
		if from >= indices {
			return -1
		}
		return from
	}
}

// cycleOf is the indices of the turns of one cycle.
func cycleOf(weights []int) (cycle []int) {
	var x roundRobin
	x.init(weights)
	common, total := 0, 0
	for _, w := range weights {
		common, total = gcd(common, w), total+w
	}
	for range total / common {
		cycle = append(cycle, x.next(anyIndex(len(weights))))
	}
	return cycle
}

func TestRoundRobinTurns(t *testing.T) {
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

// Each index has exactly its share of a cycle, and waits for its next turn at most one turn of each other index
// longer than if turns were evenly spread. That is the meaning of smooth.
func TestRoundRobinIsExactAndSmooth(t *testing.T) {
	for _, weights := range [][]int{
		{3, 2, 1}, {10, 1}, {256, 1, 1}, {7, 5, 3, 2}, {1, 2, 4, 8, 16}, {9, 9, 1, 1, 1}, {5, 2, 1},
		slices.Concat(slices.Repeat([]int{1}, 500), []int{256, 100, 3}),
	} {
		cycle := cycleOf(weights)
		for i, w := range weights {
			indices := []int{}
			for at, index := range slices.Concat(cycle, cycle) {
				if index == i {
					indices = append(indices, at)
				}
			}
			if len(indices) != 2*w {
				t.Errorf("%v: index %d has %d turns, want %d", weights, i, len(indices)/2, w)
			}
			even := float64(len(cycle)) / float64(w)
			for k := 1; k < len(indices); k++ {
				if gap := float64(indices[k] - indices[k-1]); gap > even+float64(len(weights)) {
					t.Errorf("%v: index %d waits %v turns, evenly it would be %.1f", weights, i, gap, even)
				}
			}
		}
	}
}

// A heavy index among few has no more turns in a row than necessary.
func TestRoundRobinDoesNotBunch(t *testing.T) {
	for _, c := range []struct {
		weights []int
		most    int
	}{
		{[]int{5, 2, 1}, 3}, {[]int{3, 2, 1}, 2}, {[]int{1, 1, 2}, 1}, {[]int{10, 1}, 10}, {[]int{256, 128, 64}, 2},
	} {
		cycle := cycleOf(c.weights)
		row, longest := 0, 0
		for i, index := range slices.Concat(cycle, cycle) {
			if i > 0 && index != cycle[(i-1)%len(cycle)] {
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

// The indices that can be used share the turns exactly by weight, however many are skipped, and the next turn is
// found quickly.
func TestRoundRobinSkipsByWeight(t *testing.T) {
	weights := make([]int, 10000)
	for i := range weights {
		weights[i] = 1 + i*7%256
	}
	var x roundRobin
	x.init(weights)
	for _, left := range [][]int{{4711}, {3, 9999}, {17, 18, 5000, 9000}} {
		total := 0
		for _, index := range left {
			total += weights[index]
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
			counts[x.next(find)]++
		}
		for _, index := range left {
			if got, want := counts[index], weights[index]; got != want {
				t.Errorf("of %v, %d had %d turns, want %d", left, index, got, want)
			}
		}
		if each := asked / total; each > 4*(len(left)+1) {
			t.Errorf("of %v, it took %d looks to find a turn", left, each)
		}
	}
	if x.next(func(int) int { return -1 }) != -1 {
		t.Error("a turn without a usable index")
	}
}

func TestRoundRobinContinues(t *testing.T) {
	var before, after roundRobin
	before.init([]int{1, 1, 1, 1})
	for range 7 {
		before.next(anyIndex(4))
	}
	after.init([]int{1, 1, 1, 1, 1})
	after.continueFrom(&before)
	if got := after.next(anyIndex(5)); got != 3 {
		t.Errorf("the next is %d, want 3", got)
	}
	after.init([]int{1, 1})
	after.continueFrom(&before)
	if got := after.next(anyIndex(2)); got != 0 {
		t.Errorf("the next is %d, want 0", got)
	}
}
