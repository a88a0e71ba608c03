package loop

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
)

// proofInterval is how often Alive polls a port on which nothing was accepted yet.
const proofInterval = 10 * time.Millisecond

// Alive implements relay.Engine.
func (e *Engine) Alive(ctx context.Context) error {
	for n, l := range e.loops {
		answer := make(chan struct{})
		l.reactor.Post(func() { close(answer) })
		select {
		case <-answer:
		case <-l.ended:
		case <-ctx.Done():
			return fmt.Errorf("loop %d does not answer: %w", n, ctx.Err())
		}
	}
	e.mu.Lock()
	open := make([]*listener, 0, len(e.ports))
	for _, x := range e.ports {
		open = append(open, x)
	}
	e.mu.Unlock()
	for _, x := range open {
		if err := e.progresses(ctx, x); err != nil {
			return err
		}
	}
	return nil
}

// progresses returns nil once no connection waits at the port, the port is closed, no worker is free, or a loop has called
// accept.
func (e *Engine) progresses(ctx context.Context, x *listener) error {
	before := x.rounds.Load()
	for {
		if !e.pending(x) || x.rounds.Load() != before || e.workers.Busy() >= e.workers.Max() {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("port %s: a connection is waiting and a worker is free, but nothing accepts it: %w", x.port, ctx.Err())
		case <-time.After(proofInterval):
		}
	}
}

// pending reports whether a connection waits at an open port.
func (e *Engine) pending(x *listener) bool {
	e.mu.Lock() // Close takes the port away under it before it closes the descriptor
	defer e.mu.Unlock()
	return e.ports[x.port] == x && linux.Pending(x.fd, unix.POLLIN)
}
