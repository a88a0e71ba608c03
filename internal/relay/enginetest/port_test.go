package enginetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/testkit"
)

// take takes every worker of the pool, and gives them back when the function that it returns is called.
func (r *rig) take() (giveBack func()) {
	never := make(chan struct{})
	for range r.workers.Max() {
		r.workers.Acquire(never)
	}
	return func() {
		for range r.workers.Max() {
			r.workers.Release()
		}
	}
}

// While the pool is full nobody is accepted, and no processor time is used. Then everyone is, in time.
func TestPoolFull(t *testing.T) {
	eachTCP(t, nil, func(r *rig) {
		giveBack := r.take()
		const waiting = 10
		var clients []stream
		for range waiting {
			clients = append(clients, r.dial())
		}
		testkit.Eventually(r.T, "the pool is full", func() bool { return r.workers.Paused() == 1 })
		testkit.ExpectUsage(r.T, 0, 300*time.Millisecond, testkit.Usage{CPU: 10 * time.Millisecond, Wakeups: 250})
		r.alone(time.Millisecond)
		giveBack()
		for range waiting {
			r.accept().CloseWrite()
		}
		for _, c := range clients {
			r.expectEOF(c)
			c.Close()
		}
		for range waiting {
			r.expectCause(relay.TargetClosed)
		}
	}, resting...)
}

func TestCloseUnknownPort(t *testing.T) {
	eachTCP(t, nil, func(r *rig) {
		if err := r.engine.Close(relay.NewPort("other", nil)); err == nil {
			r.Error("no error")
		}
	})
}

func TestWaitIsNotForEver(t *testing.T) {
	eachTCP(t, nil, func(r *rig) {
		client, server := r.session()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := r.engine.Wait(ctx); !errors.Is(err, context.Canceled) {
			r.Errorf("Wait with a session open: %v", err)
		}
		r.finish(client, server)
	})
}

// An engine is alive when nothing waits, when what waits is accepted, and when what waits has no worker.
func TestAlive(t *testing.T) {
	eachTCP(t, nil, func(r *rig) {
		alive := func() {
			r.Helper()
			ctx, cancel := context.WithTimeout(r.Context(), testkit.Timeout)
			defer cancel()
			if err := r.engine.Alive(ctx); err != nil {
				r.Fatal(err)
			}
		}
		alive()
		giveBack := r.take()
		client := r.dial()
		alive()
		giveBack()
		server := r.accept()
		alive()
		r.finish(client, server)
	})
}
