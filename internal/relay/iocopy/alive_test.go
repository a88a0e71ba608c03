package iocopy

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An engine is not alive while a connection waits and the accept goroutine does nothing.
func TestAliveWhenStuck(t *testing.T) {
	ended := make(chan struct{})
	e, err := New(admit.NewWorkers(8), relay.Events{Ended: func(*relay.Record) { close(ended) }})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stuck := &listening{
		Port:    relay.NewPort("stuck", l),
		heirs:   &relay.Inheritance{},
		closing: make(chan struct{}),
		done:    make(chan struct{}),
	}
	stuck.Route.Store(&relay.Route{Targets: upstream.NewSet(nil, upstream.Policy{Retry: time.Hour}, nil)})
	if stuck.ready, err = linux.NewReady(stuck.Listener); err != nil {
		t.Fatal(err)
	}
	e.ports[stuck.Port] = stuck

	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*proofInterval)
	defer cancel()
	if err := e.Alive(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a port that nobody accepts on: %v", err)
	}

	proof := make(chan error)
	go func() { proof <- e.Alive(t.Context()) }()
	time.Sleep(2 * proofInterval) // either way it has to see the round that now comes
	go e.accept(stuck)
	if err := <-proof; err != nil {
		t.Error(err)
	}
	<-ended // it has no target
	if err := errors.Join(e.Close(stuck.Port), e.Wait(t.Context()), e.Stop()); err != nil {
		t.Error(err)
	}
}
