package upstream

import (
	"math"
	"sync/atomic"
	"time"
)

// times is how long connects take: smoothed, so that what is older than a while counts little, and one odd connect
// among many too. The zero value has not been measured. It is safe for concurrent use; of two connects at the same
// moment, one may not count.
type times struct {
	smoothed atomic.Int64 // nanoseconds; 0: unknown
	measured atomic.Int64 // when last, by clock
	owed     atomic.Int64 // since when there is no answer, by clock; 0: none is owed
}

const (
	memory    = 3 * time.Second        // what was measured this long ago counts a third of what is measured now
	leastNews = 1. / 32                // what one measurement counts at least
	patience  = 250 * time.Millisecond // a connect is not late before
	slowness  = 8                      // nor before this many times the smoothed time
)

var start = time.Now()

// clock is nanoseconds since some moment, never 0.
func clock() int64 { return int64(time.Since(start)) | 1 }

// answer takes in a connect that took this long.
func (x *times) answer(took time.Duration) {
	now, sample := clock(), max(1, int64(took))
	x.owed.Store(0)
	if old := x.smoothed.Load(); old != 0 {
		age := time.Duration(now - x.measured.Load())
		news := max(leastNews, 1-math.Exp(-float64(age)/float64(memory)))
		sample = max(1, old+int64(news*float64(sample-old)))
	}
	x.smoothed.Store(sample)
	x.measured.Store(now)
}

// owe says that a connect begins.
func (x *times) owe() {
	if x.owed.Load() == 0 {
		x.owed.CompareAndSwap(0, clock())
	}
}

// giveUp says that a connect gave nothing to measure.
func (x *times) giveUp() { x.owed.Store(0) }

// forget has all connects before count for nothing.
func (x *times) forget() {
	x.smoothed.Store(0)
	x.owed.Store(0)
}

func (x *times) connect() time.Duration { return time.Duration(x.smoothed.Load()) }

// late reports whether an answer is owed for longer than is usual.
func (x *times) late() bool {
	since := x.owed.Load()
	if since == 0 {
		return false
	}
	usual := x.connect()
	return usual == 0 || time.Duration(clock()-since) > max(patience, slowness*usual)
}
