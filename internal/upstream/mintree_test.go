package upstream

import (
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

func TestMinTree(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{1, 2, 7, 8, 9, 64, 65, 511, 513, 10000} {
		k := newMinTree(n)
		keys := make([]uint64, n)
		for i := range keys {
			keys[i] = math.MaxUint64
		}
		for range 2000 {
			index := random.IntN(n)
			keys[index] = random.Uint64N(20)
			k.set(index, func() uint64 { return keys[index] })
			if least := k.min(); least > keys[index] || least == math.MaxUint64 {
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
		checkTree(t, k, func(index int) uint64 { return keys[index] })
	}
}

// checkTree checks every key and every node above it.
func checkTree(t *testing.T, k *minTree, key func(int) uint64) {
	t.Helper()
	for index := range k.levels[0] {
		if got, want := k.key(index), key(index); got != want {
			t.Fatalf("the key of %d is %d, want %d", index, got, want)
		}
	}
	for n, level := range k.levels[1:] {
		for i := range level {
			below := k.levels[n]
			if got, want := level[i].Load(), minOf(below[i*fan:min(i*fan+fan, len(below))]); got != want {
				t.Fatalf("level %d, node %d is %d, want %d", n+1, i, got, want)
			}
		}
	}
}

// After concurrent changes the tree is consistent.
func TestMinTreeIsRightAfterConcurrentChanges(t *testing.T) {
	for range 20 {
		const n = 70
		k := newMinTree(n)
		var values [n]atomic.Uint64
		var all sync.WaitGroup
		for worker := range uint64(8) {
			all.Go(func() {
				random := rand.New(rand.NewPCG(5, worker))
				for range 3000 {
					index := random.IntN(n)
					values[index].Store(random.Uint64N(4) << 62)
					k.set(index, values[index].Load)
				}
			})
		}
		all.Wait()
		checkTree(t, k, func(index int) uint64 {
			if v := values[index].Load(); v != 0 || k.key(index) == 0 {
				return v
			}
			return math.MaxUint64 // never set
		})
	}
}

// set sees a value that changes while it reads it, also one that changes back.
func TestMinTreeSeesValueThatChangesBack(t *testing.T) {
	k := newMinTree(1)
	value := uint64(5)
	k.set(0, func() uint64 { return value })
	looked := false
	k.set(0, func() uint64 {
		if looked {
			return value
		}
		looked = true
		k.set(0, func() uint64 { return 5 })
		return 9 // the previous value
	})
	if got := k.key(0); got != 5 {
		t.Errorf("the key is %d, want 5", got)
	}
}
