package meter

import (
	"sync/atomic"
	"time"
)

// Bounds are the upper bounds of a histogram's buckets, inclusive. One more bucket has the durations above the last bound.
var Bounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
	30 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour,
}

// Histogram counts durations by size. The zero value is empty. It is safe for concurrent use.
type Histogram struct {
	counts [len(Bounds) + 1]atomic.Uint64
	sum    atomic.Int64
}

// Add counts a duration.
func (h *Histogram) Add(d time.Duration) {
	low, high := 0, len(Bounds)
	for low < high {
		if middle := (low + high) / 2; d <= Bounds[middle] {
			high = middle
		} else {
			low = middle + 1
		}
	}
	h.counts[low].Add(1)
	h.sum.Add(int64(d))
}

// Counts are the values of a histogram: the number of durations in each bucket and in all, and their sum.
type Counts struct {
	Buckets [len(Bounds) + 1]uint64
	Total   uint64
	Sum     time.Duration
}

// Read returns the counts. If durations are added meanwhile, Sum may have a few more or fewer of them than Total.
func (h *Histogram) Read() Counts {
	c := Counts{Sum: time.Duration(h.sum.Load())}
	for i := range h.counts {
		c.Buckets[i] = h.counts[i].Load()
		c.Total += c.Buckets[i]
	}
	return c
}
