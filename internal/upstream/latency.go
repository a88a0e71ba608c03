package upstream

import (
	"math"
	"sync/atomic"
	"time"
)

// latency is the smoothed connect time of a target: a moving average in which a sample counts the less, the older it is.
// The zero value has no sample. It is safe for concurrent use; of two samples at the same moment, one may be lost.
type latency struct {
	smoothed     atomic.Int64 // nanoseconds; 0: unknown
	measuredAt   atomic.Int64 // of the last sample, by clock
	pendingSince atomic.Int64 // start of the first connect that is not answered, by clock; 0: none is pending
}

const (
	decayTime       = 3 * time.Second        // a sample of this age has 1/e of the weight of a new one
	minSampleWeight = 1. / 32                // of one sample
	overdueMin      = 250 * time.Millisecond // a connect is overdue after this time at the earliest,
	overdueFactor   = 8                      // and after so many times the smoothed time
)

var start = time.Now()

// clock is a monotonic time in nanoseconds, never 0.
func clock() int64 { return int64(time.Since(start)) | 1 }

// observe adds the time that a connect took.
func (x *latency) observe(took time.Duration) {
	now, sample := clock(), max(1, int64(took))
	x.pendingSince.Store(0)
	if old := x.smoothed.Load(); old != 0 {
		age := time.Duration(now - x.measuredAt.Load())
		news := max(minSampleWeight, 1-math.Exp(-float64(age)/float64(decayTime)))
		sample = max(1, old+int64(news*float64(sample-old)))
	}
	x.smoothed.Store(sample)
	x.measuredAt.Store(now)
}

// begin notes that a connect begins.
func (x *latency) begin() {
	if x.pendingSince.Load() == 0 {
		x.pendingSince.CompareAndSwap(0, clock())
	}
}

// cancel notes that a connect ended without a sample.
func (x *latency) cancel() { x.pendingSince.Store(0) }

// reset forgets all samples.
func (x *latency) reset() {
	x.smoothed.Store(0)
	x.pendingSince.Store(0)
}

// value is the smoothed connect time; 0: not known.
func (x *latency) value() time.Duration { return time.Duration(x.smoothed.Load()) }

// overdue reports whether a connect has taken much longer than usual and is not answered yet.
func (x *latency) overdue() bool {
	since := x.pendingSince.Load()
	if since == 0 {
		return false
	}
	usual := x.value()
	return usual == 0 || time.Duration(clock()-since) > max(overdueMin, overdueFactor*usual)
}
