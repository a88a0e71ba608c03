package admin

import (
	"sync"
	"time"
)

// How fast one address serves at most. A request counts as one, and its answer as one more for every chunk of it.
const (
	acceptsPerSecond  = 200
	acceptBurst       = 200
	requestsPerSecond = 400
	requestBurst      = 800
	chunk             = 64 << 10
)

// A pace is a token bucket. It is safe for concurrent use.
type pace struct {
	rate, burst float64

	mu     sync.Mutex // guards what follows
	tokens float64    // less than 0: something big was charged
	at     time.Time  // when that was so
}

func newPace(rate, burst float64) *pace {
	return &pace{rate: rate, burst: burst, tokens: burst, at: time.Now()}
}

// wait is how long it takes until there are n tokens; 0 if there are. It takes none.
func (p *pace) wait(n float64) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fill()
	return time.Duration(max(0, n-p.tokens) / p.rate * float64(time.Second))
}

// charge takes n tokens, whether they are there or not.
func (p *pace) charge(n float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fill()
	p.tokens -= n
}

// fill adds what the time since the last call gives. The caller holds mu.
func (p *pace) fill() {
	now := time.Now()
	p.tokens = min(p.burst, p.tokens+now.Sub(p.at).Seconds()*p.rate)
	p.at = now
}
