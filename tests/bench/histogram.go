package main

import "math/bits"

// histogram counts durations in nanoseconds in buckets no wider than 1/128 of their value. Recording allocates
// nothing. The zero value is empty.
type histogram struct {
	count   uint64
	buckets [64 << histogramBits]uint64
}

const histogramBits = 7

func (h *histogram) record(ns int64) {
	if ns < 0 {
		ns = 0
	}
	h.buckets[bucketOf(uint64(ns))]++
	h.count++
}

func (h *histogram) reset() { *h = histogram{} }

// quantile returns the duration in nanoseconds which the share q of all recorded ones does not exceed: the upper edge
// of its bucket. It is 0 if nothing was recorded.
func (h *histogram) quantile(q float64) float64 {
	rank := uint64(q * float64(h.count))
	if float64(rank) < q*float64(h.count) {
		rank++
	}
	rank = max(rank, 1)
	var seen uint64
	for i, n := range h.buckets {
		if seen += n; seen >= rank {
			return float64(bucketEnd(i))
		}
	}
	return 0
}

// bucketOf: the first 2^histogramBits buckets are one nanosecond wide; each power of two above is cut into as many.
func bucketOf(v uint64) int {
	shift := max(bits.Len64(v)-histogramBits-1, 0)
	return shift<<histogramBits + int(v>>shift)
}

func bucketEnd(i int) uint64 {
	if i < 2<<histogramBits {
		return uint64(i)
	}
	shift := i>>histogramBits - 1
	return (uint64(i-shift<<histogramBits)+1)<<shift - 1
}
