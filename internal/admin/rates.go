package admin

import (
	"time"

	"golang.org/x/time/rate"
)

// The rates of one address. A request takes one token, and one more for every chunk of its answer. Connections beyond
// acceptsPerSecond wait in the kernel's backlog, so that a flood of them takes only a part of one processor.
const (
	acceptsPerSecond = 2000
	acceptBurst      = 2000
	chunk            = 64 << 10
)

// The rates of requests: of an address, of one source there, and of a regular connection, which uses its own bucket first.
var (
	addressRate = limit{800, 1600}
	sourceRate  = limit{400, 800}
	regularRate = limit{40, 200}
)

// limit is how many tokens a bucket gets in a second, and how many it holds.
type limit struct{ perSecond, burst int }

// newBucket makes a full token bucket.
func newBucket(r limit) *rate.Limiter { return rate.NewLimiter(rate.Limit(r.perSecond), r.burst) }

// charge takes n tokens from a bucket, even if it holds fewer: a large answer may cost more than the burst.
func charge(bucket *rate.Limiter, n int) {
	now := time.Now()
	for burst := bucket.Burst(); n > 0; n -= burst { // more than the burst cannot be reserved at once
		bucket.ReserveN(now, min(n, burst))
	}
}

// charges are the buckets that a request is charged to.
type charges []*rate.Limiter

// open reports whether all of them have a token.
func (t charges) open() bool {
	for _, bucket := range t {
		if bucket.Tokens() < 1 {
			return false
		}
	}
	return true
}

func (t charges) charge(n int) {
	for _, bucket := range t {
		charge(bucket, n)
	}
}
