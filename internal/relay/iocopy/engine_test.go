package iocopy

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/config"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/target"
)

// deadline is far beyond what anything here takes.
const deadline = 20 * time.Second

// rig is an engine with one port and one target, which the test serves itself.
type rig struct {
	*testing.T
	engine  *Engine
	workers *admit.Workers
	port    *relay.Port
	target  net.Listener
	ended   chan *relay.Record
	held    int // descriptors before there was a session
}

// newRig makes a rig that is checked at the end of the test: every session over, every worker back, and no descriptor
// or goroutine left behind. Networks are "tcp" or "unix".
func newRig(t *testing.T, clients, targets string, change func(*relay.Route)) *rig {
	t.Helper()
	goroutines := goleak.IgnoreCurrent()
	before := descriptors(t)
	r := &rig{T: t, workers: admit.NewWorkers(8), ended: make(chan *relay.Record, 64)}
	var err error
	r.engine, err = New(r.workers, relay.Events{
		Ended:         func(rec *relay.Record) { r.ended <- rec },
		ConnectFailed: func(*relay.Route, *target.Target, error, bool) {},
		TargetBack:    func(*relay.Route, *target.Target) {},
		AcceptFailing: func(_ *relay.Port, err error) { t.Errorf("accept fails: %v", err) },
		AcceptResumed: func(*relay.Port, time.Duration) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.target = listen(t, targets)
	address := config.Address{Network: "unix", Path: r.target.Addr().String()}
	if tcp, ok := r.target.Addr().(*net.TCPAddr); ok {
		address = config.Address{Network: "tcp", Host: tcp.IP.String(), Port: uint16(tcp.Port)}
	}
	route := &relay.Route{
		App:            "test",
		Targets:        target.NewSet([]config.Target{{Address: address, Weight: 1}}, time.Hour, nil),
		ConnectTimeout: deadline,
	}
	if change != nil {
		change(route)
	}
	r.port = &relay.Port{Name: "port", Listener: listen(t, clients)}
	r.port.Route.Store(route)
	if err := r.engine.Open(r.port); err != nil {
		t.Fatal(err)
	}
	r.held = descriptors(t)
	t.Cleanup(func() {
		if err := r.engine.Close(r.port); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), deadline)
		defer cancel()
		if err := r.engine.Wait(ctx); err != nil {
			t.Errorf("sessions are left: %v", err)
		}
		r.target.Close()
		if err := r.engine.Stop(); err != nil {
			t.Error(err)
		}
		if n := r.workers.Busy(); n != 0 {
			t.Errorf("%d workers are still busy", n)
		}
		await(t, "descriptors given back", func() bool {
			runtime.GC() // Go keeps the pipes of its splices in a sync.Pool
			return descriptors(t) <= before
		})
		if err := goleak.Find(goroutines); err != nil {
			t.Error(err)
		}
	})
	return r
}

func listen(t *testing.T, network string) net.Listener {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// session opens one: the client's end and the target's.
func (r *rig) session() (client, server stream) {
	r.Helper()
	c, err := net.Dial(r.port.Listener.Addr().Network(), r.port.Listener.Addr().String())
	if err != nil {
		r.Fatal(err)
	}
	s, err := r.target.Accept()
	if err != nil {
		r.Fatal(err)
	}
	for _, x := range []net.Conn{c, s} {
		x.SetDeadline(time.Now().Add(deadline))
		r.Cleanup(func() { x.Close() })
	}
	return c.(stream), s.(stream)
}

// record waits for the next session to end.
func (r *rig) record() *relay.Record {
	r.Helper()
	select {
	case rec := <-r.ended:
		return rec
	case <-time.After(deadline):
		r.Fatal("the session does not end")
		return nil
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for limit := time.Now().Add(deadline); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("not %s within %v", what, deadline)
		}
	}
}

// networks are the kinds of sockets on either side.
var networks = []struct{ clients, targets string }{{"tcp", "tcp"}, {"unix", "tcp"}, {"tcp", "unix"}, {"unix", "unix"}}

func eachNetwork(t *testing.T, f func(t *testing.T, clients, targets string)) {
	for _, n := range networks {
		t.Run(n.clients+" to "+n.targets, func(t *testing.T) { f(t, n.clients, n.targets) })
	}
}

func TestBytesBothWaysAndHalfClose(t *testing.T) {
	eachNetwork(t, func(t *testing.T, clients, targets string) {
		r := newRig(t, clients, targets, nil)
		client, server := r.session()
		up, down := make([]byte, 3<<20+7), make([]byte, 1<<20+1)
		rand.Read(up)
		rand.Read(down)
		send := func(to stream, data []byte) {
			if _, err := to.Write(data); err != nil {
				t.Error(err)
			}
			to.CloseWrite()
		}
		go send(client, up)
		if got, err := io.ReadAll(server); err != nil || !bytes.Equal(got, up) {
			t.Errorf("upload: %d bytes, %v", len(got), err)
		}
		go send(server, down)
		if got, err := io.ReadAll(client); err != nil || !bytes.Equal(got, down) {
			t.Errorf("download: %d bytes, %v", len(got), err)
		}
		rec := r.record()
		if rec.Cause != relay.ClientClosed || rec.Err != nil || rec.Upload != int64(len(up)) || rec.Download != int64(len(down)) || rec.Attempts != 1 {
			t.Errorf("%+v", rec)
		}
		if wantUnix := clients == "unix"; strings.HasPrefix(rec.Client, "unix:") != wantUnix {
			t.Errorf("client %q", rec.Client)
		}
	})
}

// What is between the two connections must not keep Go from splicing them: then a pipe is seen for each direction.
func TestSessionIsSpliced(t *testing.T) {
	r := newRig(t, "tcp", "tcp", nil)
	client, server := r.session()
	if _, err := client.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(server, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	const ours = 2 // the test's own ends
	await(t, "spliced", func() bool { return descriptors(t) == r.held+ours+DescriptorsPerSession })
	client.Close()
	server.Close()
	r.record()
}

// A reset is passed on at every point, even to a side whose buffers are full and that the session only waits to write to.
func TestResetIsPassedOn(t *testing.T) {
	for _, stalled := range []bool{false, true} {
		for _, cause := range []relay.Cause{relay.ClientReset, relay.TargetReset} {
			t.Run(string(cause)+map[bool]string{true: " while the other stalls"}[stalled], func(t *testing.T) {
				r := newRig(t, "tcp", "tcp", nil)
				from, to := r.session()
				if cause == relay.TargetReset {
					from, to = to, from
				}
				if stalled {
					fill(t, from)
				}
				from.(*net.TCPConn).SetLinger(0)
				from.Close()
				if _, err := io.Copy(io.Discard, to); !errors.Is(err, unix.ECONNRESET) {
					t.Errorf("the other side got %v", err)
				}
				if rec := r.record(); rec.Cause != cause || rec.Err == nil {
					t.Errorf("%+v", rec)
				}
			})
		}
	}
}

// fill writes until nobody takes any more.
func fill(t *testing.T, x stream) {
	t.Helper()
	defer x.SetWriteDeadline(time.Now().Add(deadline))
	for chunk := make([]byte, 1<<20); ; {
		x.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		if _, err := x.Write(chunk); errors.Is(err, os.ErrDeadlineExceeded) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestResetAfterHalfClose(t *testing.T) {
	r := newRig(t, "tcp", "tcp", nil)
	client, server := r.session()
	client.CloseWrite()
	if _, err := server.Read(make([]byte, 1)); err != io.EOF {
		t.Fatal(err)
	}
	client.(*net.TCPConn).SetLinger(0)
	client.Close()
	await(t, "reset", func() bool {
		_, err := server.Write([]byte("x"))
		return err != nil
	})
	if rec := r.record(); rec.Cause != relay.ClientReset {
		t.Errorf("%+v", rec)
	}
}

// What came before a reset arrives before it.
func TestDataBeforeAReset(t *testing.T) {
	r := newRig(t, "tcp", "tcp", nil)
	for range 50 {
		client, server := r.session()
		client.Write([]byte("a request that is never read"))
		server.Write([]byte("go away"))
		server.(*net.TCPConn).SetLinger(0)
		server.Close()
		got, err := io.ReadAll(client)
		if string(got) != "go away" && len(got) > 0 || err == nil {
			t.Fatalf("%q, %v", got, err)
		}
		client.Close()
		r.record()
	}
}

// All at the same time, because they take their time.
func TestQuietSessionsEnd(t *testing.T) {
	const limit = time.Second
	var all sync.WaitGroup
	for cause, change := range map[relay.Cause]func(*relay.Route){
		relay.IdleTimeout:      func(r *relay.Route) { r.IdleTimeout = limit },
		relay.HalfCloseTimeout: func(r *relay.Route) { r.HalfCloseTimeout, r.IdleTimeout = limit, time.Hour },
	} {
		for _, n := range networks {
			r := newRig(t, n.clients, n.targets, change)
			client, server := r.session()
			if cause == relay.HalfCloseTimeout {
				server.CloseWrite()
				client.Read(make([]byte, 1))
			}
			all.Go(func() {
				sent, err := trickle(client, server, 2*limit)
				if err != nil {
					t.Errorf("%s, %v: after %d bytes of a trickle: %v", cause, n, sent, err)
				}
				_, err = server.Read(make([]byte, 1)) // until it is ended
				if n.targets == "tcp" && !errors.Is(err, unix.ECONNRESET) {
					t.Errorf("%s, %v: the target got %v, want a reset", cause, n, err)
				}
				if rec := <-r.ended; rec.Cause != cause || rec.Upload != sent {
					t.Errorf("%v: %+v, want %s after %d bytes", n, rec, cause, sent)
				}
			})
		}
	}
	all.Wait()
}

// trickle sends a byte now and then, in one direction.
func trickle(from, to stream, d time.Duration) (sent int64, err error) {
	pause := time.NewTicker(50 * time.Millisecond)
	defer pause.Stop()
	for begun := time.Now(); time.Since(begun) < d; <-pause.C {
		if _, err := from.Write([]byte("x")); err != nil {
			return sent, err
		}
		if _, err := io.ReadFull(to, make([]byte, 1)); err != nil {
			return sent, err
		}
		sent++
	}
	return sent, nil
}

func TestEnd(t *testing.T) {
	r := newRig(t, "tcp", "tcp", nil)
	client, server := r.session()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.engine.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait with a session open: %v", err)
	}
	r.engine.End(relay.Stopped)
	for _, x := range []stream{client, server} {
		if _, err := x.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("got %v, want a reset", err)
		}
	}
	if rec := r.record(); rec.Cause != relay.Stopped {
		t.Errorf("%+v", rec)
	}
}

// A client that goes away while its session is connecting ends it, and tells nothing of the target.
func TestClientGoesWhileConnecting(t *testing.T) {
	hang := hangingAddress(t)
	r := newRig(t, "tcp", "tcp", func(route *relay.Route) {
		route.Targets = target.NewSet([]config.Target{{Address: hang, Weight: 1}}, time.Hour, nil)
	})
	c, err := net.Dial("tcp", r.port.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	await(t, "connecting", func() bool { return r.port.Route.Load().Targets.All()[0].Sessions() == 1 })
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
	rec := r.record()
	if rec.Cause != relay.ClientReset || rec.Target != hang.String() {
		t.Errorf("%+v", rec)
	}
	if x := r.port.Route.Load().Targets.All()[0]; x.State() != target.Alive || x.Sessions() != 0 {
		t.Errorf("the target is %s with %d sessions", x.State(), x.Sessions())
	}
}

// hangingAddress is one whose backlog is full: connecting to it gets no answer (listen(2)).
func hangingAddress(t *testing.T) config.Address {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := config.Address{Network: "tcp", Host: "127.0.0.1", Port: uint16(name.(*unix.SockaddrInet4).Port)}
	for {
		c, err := net.DialTimeout("tcp", address.String(), 300*time.Millisecond)
		if err != nil {
			return address
		}
		t.Cleanup(func() { c.Close() })
	}
}

func TestPoolHoldsBack(t *testing.T) {
	r := newRig(t, "tcp", "tcp", nil)
	first, firstServer := r.session()
	for range r.workers.Max() - 1 {
		r.session()
	}
	waiting, err := net.Dial("tcp", r.port.Listener.Addr().String()) // the backlog takes it
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	await(t, "waiting", func() bool { return r.workers.Paused() == 1 })
	if err := r.target.(*net.TCPListener).SetDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.target.Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("a session without a worker: %v", err)
	}
	r.target.(*net.TCPListener).SetDeadline(time.Time{})
	first.Close()
	firstServer.Close()
	server, err := r.target.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	r.engine.End(relay.Stopped)
	for range r.workers.Max() + 1 {
		r.record()
	}
}
