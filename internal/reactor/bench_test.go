package reactor

import (
	"math/rand/v2"
	"testing"
	"time"
)

// big is about what a session takes.
type big struct {
	first byte
	_     [190]byte
}

const benchSlots = 1 << 14

func BenchmarkFind(b *testing.B) {
	var t Table[big]
	keys := make([]uint64, benchSlots)
	for i := range keys {
		n, _ := t.Acquire()
		keys[i] = t.Key(n) | 1
	}
	rand.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	b.ResetTimer()
	n := 0
	for i := range b.N {
		if t.Find(keys[i&(1<<10-1)]) != nil {
			n++
		}
	}
	if n != b.N {
		b.Fatal(n)
	}
}

func BenchmarkAt(b *testing.B) {
	var t Table[big]
	for range benchSlots {
		t.Acquire()
	}
	b.ResetTimer()
	n := int32(0)
	for i := range b.N {
		n += int32(t.At(int32(i) & (1<<10 - 1)).first)
	}
	_ = n
}

// BenchmarkArm disarms and arms timers.
func BenchmarkArm(b *testing.B) {
	for _, c := range []struct {
		name   string
		timers int32
		spread time.Duration
	}{{"64", 64, time.Minute}, {"100k", 100_000, time.Minute}, {"near", 1000, time.Second}} {
		b.Run(c.name, func(b *testing.B) {
			var w wheel
			w.init(0)
			numbers, at := rand.Perm(int(c.timers)), make([]int64, 1<<12)
			for i := range at {
				at[i] = rand.Int64N(int64(c.spread))
			}
			for n := range c.timers {
				w.arm(n, at[n&(1<<12-1)])
			}
			b.ResetTimer()
			for i := range b.N {
				n := int32(numbers[i%len(numbers)])
				w.disarm(n)
				w.arm(n, at[i&(1<<12-1)])
			}
		})
	}
}

// BenchmarkNext is what a turn asks the wheel before it waits.
func BenchmarkNext(b *testing.B) {
	var w wheel
	w.init(0)
	w.arm(0, int64(time.Second))
	for i := range b.N {
		w.arm(1, int64(i&15)*tick)
		w.next()
		w.disarm(1)
	}
}
