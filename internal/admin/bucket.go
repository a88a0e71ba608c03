package admin

import (
	"sync"
	"time"
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
	addressRate = rate{800, 1600}
	sourceRate  = rate{400, 800}
	regularRate = rate{40, 200}
)

// rate is how many tokens a bucket gets in a second, and how many it holds.
type rate struct{ perSecond, burst float64 }

// A bucket is a token bucket. It is safe for concurrent use.
type bucket struct {
	rate rate

	mu     sync.Mutex // guards what follows
	tokens float64    // may be less than 0 after a large answer
	at     time.Time  // when tokens was computed
}

func newBucket(r rate) *bucket {
	return &bucket{rate: r, tokens: r.burst, at: time.Now()}
}

// wait returns the time until there are n tokens; 0 if there are. It takes none.
func (b *bucket) wait(n float64) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill()
	return time.Duration(max(0, n-b.tokens) / b.rate.perSecond * float64(time.Second))
}

// charge takes n tokens, even if there are fewer.
func (b *bucket) charge(n float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill()
	b.tokens -= n
}

// fill adds the tokens of the time since the last call. The caller holds mu.
func (b *bucket) fill() {
	now := time.Now()
	b.tokens = min(b.rate.burst, b.tokens+now.Sub(b.at).Seconds()*b.rate.perSecond)
	b.at = now
}

// charges are the buckets that a request is charged to.
type charges []*bucket

// open reports whether all of them have a token.
func (t charges) open() bool {
	for _, b := range t {
		if b.wait(1) > 0 {
			return false
		}
	}
	return true
}

func (t charges) charge(n float64) {
	for _, b := range t {
		b.charge(n)
	}
}
