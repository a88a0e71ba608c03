package relay

import (
	"context"
	"sync"
	"sync/atomic"
)

// Open counts the open sessions of an engine, and lets others wait until there are none. The zero value counts none. It is safe for
// concurrent use; counting takes a lock only when the last session leaves.
type Open struct {
	n atomic.Int64

	mu      sync.Mutex // guards waiting
	waiting []chan struct{}
}

// Enter counts a session in.
func (o *Open) Enter() { o.n.Add(1) }

// Leave counts out a session that has given back all that it held.
func (o *Open) Leave() {
	if o.n.Add(-1) > 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, w := range o.waiting {
		close(w)
	}
	o.waiting = nil
}

// Wait returns nil once no session is open, or the context's error. No session may enter meanwhile, or it may return early.
func (o *Open) Wait(ctx context.Context) error {
	o.mu.Lock()
	if o.n.Load() == 0 {
		o.mu.Unlock()
		return nil
	}
	none := make(chan struct{})
	o.waiting = append(o.waiting, none)
	o.mu.Unlock()
	select {
	case <-none:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
