// Package meter counts the sessions of an app and their bytes. Counting bytes takes one uncontended atomic addition, so an
// engine can do it for every write; reading the counters adds up.
package meter

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// App has the counters of one app, which last through changes of its configuration. Make it with NewApp. It is safe for
// concurrent use.
type App struct {
	Connect Histogram // from accept until a target was connected, of the sessions that got one
	Session Histogram // from accept until both sockets were closed

	active atomic.Int64
	moved  []traffic // a shard each

	mu     sync.Mutex // guards causes
	causes map[string]uint64
}

// traffic counts the bytes of one shard. It fills a cache line, so that threads do not contend for one.
type traffic struct {
	upload, download atomic.Int64
	_                [48]byte
}

// NewApp returns counters at zero.
func NewApp() *App {
	return &App{moved: make([]traffic, runtime.GOMAXPROCS(0)), causes: map[string]uint64{}}
}

// Uploaded counts n bytes that were sent to a target. shard may be any number; callers on different threads pass different
// ones.
func (a *App) Uploaded(shard int, n int64) { a.moved[uint(shard)%uint(len(a.moved))].upload.Add(n) }

// Downloaded counts n bytes that were sent to a client.
func (a *App) Downloaded(shard int, n int64) { a.moved[uint(shard)%uint(len(a.moved))].download.Add(n) }

// Bytes is the number of bytes that were sent so far.
func (a *App) Bytes() (up, down int64) {
	for i := range a.moved {
		up += a.moved[i].upload.Load()
		down += a.moved[i].download.Load()
	}
	return up, down
}

// Begun counts the begin of a session.
func (a *App) Begun() { a.active.Add(1) }

// Ended counts the end of a session. connected is the time from accept until a target was connected; 0 if none was.
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

// Active is the number of sessions that have begun and not ended.
func (a *App) Active() int64 { return a.active.Load() }

// Causes returns the number of sessions that ended for each cause.
func (a *App) Causes() map[string]uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	causes := make(map[string]uint64, len(a.causes))
	for cause, n := range a.causes {
		causes[cause] = n
	}
	return causes
}
