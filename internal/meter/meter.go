// Package meter counts what happens to an app's sessions. Counting costs an uncontended atomic addition, so that it can
// stand on the path of a byte; reading adds up.
package meter

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// App counts for one app. It outlives changes of the app's configuration. Make it with NewApp; it is safe for
// concurrent use.
type App struct {
	Connect Histogram // from accept until a target stood, of the sessions that got one
	Session Histogram // from accept until both sockets were closed

	active atomic.Int64
	moved  []traffic // by shard

	mu     sync.Mutex // guards causes
	causes map[string]uint64
}

// traffic is what one goroutine or thread has moved. It has a cache line of its own.
type traffic struct {
	upload, download atomic.Int64
	_                [48]byte
}

// NewApp returns counters at zero.
func NewApp() *App {
	return &App{moved: make([]traffic, runtime.GOMAXPROCS(0)), causes: map[string]uint64{}}
}

// Uploaded counts n bytes that went to a target. Those who count from different threads give different shards, which
// may be any number.
func (a *App) Uploaded(shard int, n int64) { a.moved[uint(shard)%uint(len(a.moved))].upload.Add(n) }

// Downloaded counts n bytes that went to a client.
func (a *App) Downloaded(shard int, n int64) { a.moved[uint(shard)%uint(len(a.moved))].download.Add(n) }

// Bytes is what was moved so far.
func (a *App) Bytes() (up, down int64) {
	for i := range a.moved {
		up += a.moved[i].upload.Load()
		down += a.moved[i].download.Load()
	}
	return up, down
}

// Begun counts a session in.
func (a *App) Begun() { a.active.Add(1) }

// Ended counts a session out: why it ended and how long it took; connected is zero if it got no target.
func (a *App) Ended(cause string, connected, duration time.Duration) {
	a.active.Add(-1)
	if connected > 0 {
		a.Connect.Add(connected)
	}
	a.Session.Add(duration)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.causes[cause]++
}

// Active is how many sessions are open.
func (a *App) Active() int64 { return a.active.Load() }

// Causes tells how many sessions have ended for each cause.
func (a *App) Causes() map[string]uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	causes := make(map[string]uint64, len(a.causes))
	for cause, n := range a.causes {
		causes[cause] = n
	}
	return causes
}
