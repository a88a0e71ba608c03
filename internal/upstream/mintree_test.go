package upstream

import (
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

func TestTree(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{1, 2, 7, 8, 9, 64, 65, 511, 513, 10000} {
		k := newTree(n)
		keys := make([]uint64, n)
		for i := range keys {
			keys[i] = math.MaxUint64
		}
		for range 2000 {
			place := random.IntN(n)
			keys[place] = random.Uint64N(20)
			k.set(place, func() uint64 { return keys[place] })
			if least := k.least(); least > keys[place] || least == math.MaxUint64 {
				t.Fatalf("%d keys: the least is %d", n, least)
			}
			from, most := random.IntN(n+1), random.Uint64N(20)
			if random.IntN(4) == 0 {
				most = keys[random.IntN(n)]
			}
			want := -1
			for i := from; i < n && want < 0; i++ {
				if keys[i] <= most {
					want = i
				}
			}
			if got := k.next(from, most); got != want {
				t.Fatalf("%d keys: the next from %d that is at most %d is at %d, want %d", n, from, most, got, want)
			}
		}
		checkTree(t, k, func(place int) uint64 { return keys[place] })
	}
}

// checkTree checks every key and every node above.
func checkTree(t *testing.T, k *tree, key func(int) uint64) {
	t.Helper()
	for place := range k.levels[0] {
		if got, want := k.at(place), key(place); got != want {
			t.Fatalf("the key of %d is %d, want %d", place, got, want)
		}
	}
	for n, level := range k.levels[1:] {
		for i := range level {
			below := k.levels[n]
			if got, want := level[i].Load(), leastOf(below[i*fan:min(i*fan+fan, len(below))]); got != want {
				t.Fatalf("level %d, node %d is %d, want %d", n+1, i, got, want)
			}
		}
	}
}

// Whoever changes keys at the same time, the tree is right in the end.
func TestTreeComesToRest(t *testing.T) {
	for range 20 {
		const n = 70
		k := newTree(n)
		var values [n]atomic.Uint64
		var all sync.WaitGroup
		for worker := range uint64(8) {
			all.Go(func() {
				random := rand.New(rand.NewPCG(5, worker))
				for range 3000 {
					place := random.IntN(n)
					values[place].Store(random.Uint64N(4) << 62)
					k.set(place, values[place].Load)
				}
			})
		}
		all.Wait()
		checkTree(t, k, func(place int) uint64 {
			if v := values[place].Load(); v != 0 || k.at(place) == 0 {
				return v
			}
			return math.MaxUint64 // never set
		})
	}
}

// What changes while somebody looks at it is seen in the end, also if it changes back.
func TestTreeLooksTwice(t *testing.T) {
	k := newTree(1)
	value := uint64(5)
	k.set(0, func() uint64 { return value })
	looked := false
	k.set(0, func() uint64 {
		if looked {
			return value
		}
		looked = true
		k.set(0, func() uint64 { return 5 })
		return 9 // as it was a moment before
	})
	if got := k.at(0); got != 5 {
		t.Errorf("the key is %d, want 5", got)
	}
}
