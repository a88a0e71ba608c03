package iocopy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// proofInterval is how often Alive polls a port on which nothing was accepted yet.
const proofInterval = 10 * time.Millisecond

// Alive implements relay.Engine.
func (e *Engine) Alive(ctx context.Context) error {
	e.mu.Lock()
	open := make([]*listening, 0, len(e.ports))
	for _, l := range e.ports {
		open = append(open, l)
	}
	e.mu.Unlock()
	for _, l := range open {
		if err := e.progresses(ctx, l); err != nil {
			return err
		}
	}
	return nil
}

// progresses returns nil once no connection waits at the port, the port is closed, no worker is free, or the accept
// goroutine has called accept.
func (e *Engine) progresses(ctx context.Context, l *listening) error {
	before := l.rounds.Load()
	for {
		pending, err := l.ready.Now()
		switch {
		case errors.Is(err, os.ErrClosed):
			return nil
		case err != nil:
			return fmt.Errorf("port %s: %w", l.Port, err)
		case !pending || l.rounds.Load() != before || e.workers.Busy() >= e.workers.Max():
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("port %s: a connection is waiting and a worker is free, but nothing accepts it: %w", l.Port, ctx.Err())
		case <-time.After(proofInterval):
		}
	}
}
