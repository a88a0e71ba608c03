package admin

import (
	"sync"
	"time"
)

// How fast one address serves at most. A request counts as one, and its answer as one more for every chunk of it. What
// is beyond acceptsPerSecond waits in the kernel's backlog, so that a flood of connections costs a part of one processor.
const (
	acceptsPerSecond = 2000
	acceptBurst      = 2000
	chunk            = 64 << 10
)

// The rates of requests: of an address, of one source there, and of a regular, which uses up its own first.
var (
	doorRate    = rate{800, 1600}
	sourceRate  = rate{400, 800}
	regularRate = rate{40, 200}
)

// rate is how many a second, and how many at once after a while without any.
type rate struct{ perSecond, burst float64 }

// A pace is a token bucket. It is safe for concurrent use.
type pace struct {
	rate rate

	mu     sync.Mutex // guards what follows
	tokens float64    // less than 0: something big was charged
	at     time.Time  // when that was so
}

func newPace(r rate) *pace {
	return &pace{rate: r, tokens: r.burst, at: time.Now()}
}

// wait is how long it takes until there are n tokens; 0 if there are. It takes none.
func (p *pace) wait(n float64) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fill()
	return time.Duration(max(0, n-p.tokens) / p.rate.perSecond * float64(time.Second))
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
	p.tokens = min(p.rate.burst, p.tokens+now.Sub(p.at).Seconds()*p.rate.perSecond)
	p.at = now
}

// toll is what a request is charged to: every one of these paces.
type toll []*pace

// open reports whether a request may come in.
func (t toll) open() bool {
	for _, p := range t {
		if p.wait(1) > 0 {
			return false
		}
	}
	return true
}

func (t toll) charge(n float64) {
	for _, p := range t {
		p.charge(n)
	}
}
