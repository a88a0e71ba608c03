package iocopy

import (
	"net"
	"testing"
	"time"

	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/upstream"
)

// What is still called for a session after it was reported does nothing: the monitor may be calling while the session
// ends, and so may a timer, and whoever ends all sessions.
func TestCallsAfterTheEnd(t *testing.T) {
	ended := 0
	workers := admit.NewWorkers(1)
	e, err := New(workers, relay.Events{Ended: func(*relay.Record) { ended++ }})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Stop()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	port := relay.NewPort("port", l)
	port.Route.Store(&relay.Route{Targets: upstream.NewSet(nil, upstream.Policy{Retry: time.Hour}, nil), IdleTimeout: time.Second})
	workers.TryAcquire()
	r := e.begin(port, conn.(stream))
	r.serve() // there is no target
	r.onBroken(r.client)
	r.urgent(r.client)
	r.fire()
	r.end(relay.Stopped, nil)
	r.sample()
	if ended != 1 || workers.Busy() != 0 {
		t.Errorf("it was reported %d times, %d workers are busy", ended, workers.Busy())
	}
}
