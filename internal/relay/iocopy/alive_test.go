package iocopy

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/relay"
)

// An engine is alive when nothing waits, when what waits is accepted, and when what waits has no worker.
func TestAlive(t *testing.T) {
	r := newRig(t, "tcp", "tcp", nil)
	alive := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		defer cancel()
		return r.engine.Alive(ctx)
	}
	if err := alive(); err != nil {
		t.Error(err)
	}
	never := make(chan struct{})
	for range r.workers.Max() {
		if !r.workers.Acquire(never) {
			t.Fatal("no worker")
		}
	}
	client, err := net.Dial("tcp", r.port.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := alive(); err != nil {
		t.Error(err)
	}
	for range r.workers.Max() {
		r.workers.Release()
	}
	server, err := r.target.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := alive(); err != nil {
		t.Error(err)
	}
	client.Close()
	server.Close()
	<-r.ended
}

// An engine is not alive while a connection waits and the accept goroutine does nothing.
func TestAliveWhenStuck(t *testing.T) {
	r := newRig(t, "tcp", "tcp", nil)
	stuck := &listening{
		Port:    &relay.Port{Name: "stuck", Listener: listen(t, "tcp")},
		closing: make(chan struct{}),
		done:    make(chan struct{}),
	}
	stuck.Route.Store(r.port.Route.Load())
	var err error
	if stuck.ready, err = linux.NewReady(stuck.Listener); err != nil {
		t.Fatal(err)
	}
	r.engine.mu.Lock()
	r.engine.ports[stuck.Port] = stuck
	r.engine.mu.Unlock()

	client, err := net.Dial("tcp", stuck.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*proofInterval)
	defer cancel()
	if err := r.engine.Alive(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a port that nobody accepts on: %v", err)
	}

	proof := make(chan error)
	go func() { proof <- r.engine.Alive(t.Context()) }()
	time.Sleep(2 * proofInterval) // either way it has to see the round that now comes
	go r.engine.accept(stuck)
	if err := <-proof; err != nil {
		t.Error(err)
	}
	server, err := r.target.Accept()
	if err != nil {
		t.Fatal(err)
	}
	client.Close()
	server.Close()
	<-r.ended
	if err := r.engine.Close(stuck.Port); err != nil {
		t.Error(err)
	}
}
