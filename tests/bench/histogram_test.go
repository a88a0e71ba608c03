package main

import (
	"math"
	"slices"
	"testing"
)

// Every value falls into a bucket whose upper edge is not below it and not more than 1/128 above.
func TestHistogramBuckets(t *testing.T) {
	for _, v := range []uint64{0, 1, 127, 128, 255, 256, 257, 511, 512, 1000, 4095, 4096, 1e6, 1e9 + 7, 1 << 40, math.MaxInt64} {
		end := bucketEnd(bucketOf(v))
		if end < v || float64(end-v) > float64(v)/128 {
			t.Errorf("%d is in the bucket that ends at %d", v, end)
		}
		if bucketOf(end) != bucketOf(v) || end < math.MaxInt64 && bucketOf(end+1) != bucketOf(v)+1 {
			t.Errorf("the bucket of %d does not end at %d", v, end)
		}
	}
}

func TestHistogramQuantiles(t *testing.T) {
	var h histogram
	if q := h.quantile(0.5); q != 0 {
		t.Errorf("quantile of nothing = %v", q)
	}
	var all []int64
	for i := range int64(10000) {
		v := i * i % 99991 * 37
		all = append(all, v)
		h.record(v)
	}
	slices.Sort(all)
	for _, q := range []float64{0.001, 0.5, 0.99, 0.999, 1} {
		want := float64(all[int(math.Ceil(q*10000))-1])
		if got := h.quantile(q); got < want || got > want*(1+1.0/128)+1 {
			t.Errorf("quantile %v = %v, want %v", q, got, want)
		}
	}
	h.reset()
	if h.count != 0 || h.quantile(1) != 0 {
		t.Error("reset left something")
	}
	h.record(-5)
	if h.quantile(1) != 0 {
		t.Error("a negative duration does not count as 0")
	}
}

func TestHistogramRecordAllocatesNothing(t *testing.T) {
	h := new(histogram)
	if n := testing.AllocsPerRun(100, func() { h.record(12345) }); n != 0 {
		t.Errorf("record allocates %v times", n)
	}
}
