package enginetest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/config"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/testkit"
	"tcp-proxy/internal/upstream"
)

// rig is an engine with one port and one target, which the test serves itself.
type rig struct {
	*testing.T
	kind    engine
	engine  relay.Engine
	workers *admit.Workers
	port    *relay.Port
	target  net.Listener
	ended   chan relay.Record
	held    int // descriptors before there was a session
}

// newRig makes a rig that is checked at the end of the test: every session over, every worker, pipe and other
// descriptor given back. Networks are "tcp" or "unix".
func newRig(t *testing.T, e engine, clients, targets string, change func(*relay.Route)) *rig {
	t.Helper()
	before := testkit.CountDescriptors(t)
	r := &rig{T: t, kind: e, workers: admit.NewWorkers(64), ended: make(chan relay.Record, 1024)}
	events := NoEvents()
	events.Ended = func(rec *relay.Record) { r.ended <- *rec }
	events.AcceptFailing = func(_ *relay.Port, err error) { t.Errorf("accept fails: %v", err) }
	var err error
	r.engine, err = e.start(r.workers, events)
	if err != nil {
		t.Fatal(err)
	}
	r.target = listen(t, targets)
	r.port = relay.NewPort("port", listen(t, clients))
	r.setRoute(change, addressOf(r.target))
	if err := r.engine.Open(r.port); err != nil {
		t.Fatal(err)
	}
	r.held = testkit.CountDescriptors(t)
	t.Cleanup(func() {
		if err := r.engine.Close(r.port); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), testkit.Timeout)
		defer cancel()
		if err := r.engine.Wait(ctx); err != nil {
			t.Errorf("sessions are left: %v", err)
		}
		r.target.Close()
		if err := r.engine.Stop(); err != nil {
			t.Error(err)
		}
		r.engine.Sample() // harmless by now
		if found := r.sessions(1, nil); found.Open != 0 {
			t.Errorf("an engine that has stopped has %d sessions", found.Open)
		}
		if err := r.close(1); !errors.Is(err, relay.ErrNoSession) {
			t.Errorf("close a session of an engine that has stopped: %v", err)
		}
		if n := r.workers.Busy(); n != 0 {
			t.Errorf("%d workers are still busy", n)
		}
		for _, x := range r.targets() {
			if n := x.Sessions(); n != 0 {
				t.Errorf("target %s still has %d sessions", x.Name, n)
			}
		}
		left := 0
		testkit.Eventually(t, "descriptors given back", func() bool {
			runtime.GC() // Go keeps the pipes of its splices in a sync.Pool
			left = testkit.CountDescriptors(t) - before
			return left <= 0
		}, func() any { return fmt.Sprintf("%d more than before", left) })
	})
	return r
}

// setRoute gives the port a route to the targets, changed for the test.
func (r *rig) setRoute(change func(*relay.Route), targets ...config.Address) *relay.Route {
	route := &relay.Route{App: "test", Targets: setOf(targets...), ConnectTimeout: testkit.Timeout}
	if change != nil {
		change(route)
	}
	r.port.Route.Store(route)
	return route
}

// targets are those of the port's route.
func (r *rig) targets() []*upstream.Target { return r.port.Route.Load().Targets.All() }

func setOf(addresses ...config.Address) *upstream.Set {
	var targets []config.Target
	for _, a := range addresses {
		targets = append(targets, config.Target{Address: a, Weight: 1})
	}
	return upstream.NewSet(targets, upstream.Policy{Retry: time.Hour}, nil)
}

func addressOf(l net.Listener) config.Address {
	if tcp, ok := l.Addr().(*net.TCPAddr); ok {
		return addressAt(tcp.AddrPort())
	}
	return config.Address{Network: "unix", Path: l.Addr().String()}
}

func addressAt(a netip.AddrPort) config.Address {
	return config.Address{Network: "tcp", Host: a.Addr().String(), Port: a.Port()}
}

func listen(t *testing.T, network string) net.Listener {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	lc := net.ListenConfig{KeepAlive: -1}
	lc.SetMultipathTCP(false) // as the proxy's own
	l, err := lc.Listen(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// dial is a client.
func (r *rig) dial() stream {
	r.Helper()
	c, err := net.Dial(r.port.Listener.Addr().Network(), r.port.Listener.Addr().String())
	if err != nil {
		r.Fatal(err)
	}
	return r.adopt(c)
}

// accept is the target's end of the next session.
func (r *rig) accept() stream {
	r.Helper()
	c, err := r.target.Accept()
	if err != nil {
		r.Fatal(err)
	}
	return r.adopt(c)
}

func (r *rig) adopt(c net.Conn) stream {
	c.SetDeadline(time.Now().Add(testkit.Timeout))
	r.Cleanup(func() { c.Close() })
	return c.(stream)
}

// session opens one: the client's end and the target's.
func (r *rig) session() (client, server stream) {
	r.Helper()
	client = r.dial()
	return client, r.accept()
}

// finish ends a session in good order, the client first, and returns its record.
func (r *rig) finish(client, server stream) relay.Record {
	r.Helper()
	client.CloseWrite()
	r.expectEOF(server)
	server.CloseWrite()
	r.expectEOF(client)
	return r.expectCause(relay.ClientClosed)
}

// record waits for the next session to end.
func (r *rig) record() relay.Record {
	r.Helper()
	return testkit.Receive(r.T, "a session ends", r.ended)
}

func (r *rig) expectCause(want relay.Cause) relay.Record {
	r.Helper()
	rec := r.record()
	if rec.Cause != want {
		r.Errorf("cause = %s (%v), want %s", rec.Cause, rec.Err, want)
	}
	return rec
}
