package loop

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/config"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/target"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// deadline is far beyond what anything here takes.
const deadline = 20 * time.Second

// stream is what *net.TCPConn and *net.UnixConn have in common.
type stream interface {
	net.Conn
	CloseWrite() error
}

// rig is an engine with one port and one target, which the test serves itself.
type rig struct {
	*testing.T
	engine  *Engine
	workers *admit.Workers
	port    *relay.Port
	target  net.Listener
	ended   chan relay.Record
}

// newRig makes a rig that is checked at the end of the test: every session over, every worker, pipe and descriptor
// given back. Networks are "tcp" or "unix".
func newRig(t *testing.T, clients, targets string, change func(*relay.Route)) *rig {
	t.Helper()
	before := descriptors(t)
	r := &rig{T: t, workers: admit.NewWorkers(64), ended: make(chan relay.Record, 1024)}
	var err error
	r.engine, err = New(r.workers, relay.Events{
		Ended:         func(rec *relay.Record) { r.ended <- *rec },
		ConnectFailed: func(*relay.Route, *target.Target, error, bool) {},
		TargetBack:    func(*relay.Route, *target.Target) {},
		AcceptFailing: func(_ *relay.Port, err error) { t.Errorf("accept fails: %v", err) },
		AcceptResumed: func(*relay.Port, time.Duration) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.target = listen(t, targets)
	route := &relay.Route{App: "test", Targets: setOf(addressOf(r.target)), ConnectTimeout: deadline}
	if change != nil {
		change(route)
	}
	r.port = &relay.Port{Name: "port", Listener: listen(t, clients)}
	r.port.Route.Store(route)
	if err := r.engine.Open(r.port); err != nil {
		t.Fatal(err)
	}
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
		if n := r.engine.pipes.Load(); n != 0 {
			t.Errorf("%d pipes are left", n)
		}
		if n := descriptors(t); n > before {
			t.Errorf("%d descriptors, %d before", n, before)
		}
	})
	return r
}

func addressOf(l net.Listener) config.Address {
	if tcp, ok := l.Addr().(*net.TCPAddr); ok {
		return config.Address{Network: "tcp", Host: tcp.IP.String(), Port: uint16(tcp.Port)}
	}
	return config.Address{Network: "unix", Path: l.Addr().String()}
}

func setOf(addresses ...config.Address) *target.Set {
	var targets []config.Target
	for _, a := range addresses {
		targets = append(targets, config.Target{Address: a, Weight: 1})
	}
	return target.NewSet(targets, target.Policy{Retry: time.Hour, LookUp: true}, nil)
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

func (r *rig) dial() stream {
	r.Helper()
	c, err := net.Dial(r.port.Listener.Addr().Network(), r.port.Listener.Addr().String())
	if err != nil {
		r.Fatal(err)
	}
	r.adopt(c)
	return c.(stream)
}

func (r *rig) accept() stream {
	r.Helper()
	c, err := r.target.Accept()
	if err != nil {
		r.Fatal(err)
	}
	r.adopt(c)
	return c.(stream)
}

func (r *rig) adopt(c net.Conn) {
	c.SetDeadline(time.Now().Add(deadline))
	r.Cleanup(func() { c.Close() })
}

// session opens one: the client's end and the target's.
func (r *rig) session() (client, server stream) {
	r.Helper()
	client = r.dial()
	return client, r.accept()
}

// record waits for the next session to end.
func (r *rig) record() relay.Record {
	r.Helper()
	select {
	case rec := <-r.ended:
		return rec
	case <-time.After(deadline):
		r.Fatal("the session does not end")
		return relay.Record{}
	}
}

func (r *rig) expectCause(want relay.Cause) relay.Record {
	r.Helper()
	rec := r.record()
	if rec.Cause != want {
		r.Errorf("cause = %s (%v), want %s", rec.Cause, rec.Err, want)
	}
	return rec
}

// exchange sends from one end and expects the same at the other.
func (r *rig) exchange(from, to stream, n int) {
	r.Helper()
	if err := send(from, 1, n, 4096); err != nil {
		r.Fatal(err)
	}
	if err := receive(to, 1, n); err != nil {
		r.Fatal(err)
	}
}

// refused wants a client to be reset, which may be as early as in its connect.
func (r *rig) refused() {
	r.Helper()
	c, err := net.Dial("tcp", r.port.Listener.Addr().String())
	if err == nil {
		r.adopt(c)
		_, err = io.Copy(io.Discard, c)
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		r.Fatalf("%v, want a reset", err)
	}
}

func (r *rig) expectEOF(c stream) {
	r.Helper()
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		r.Fatalf("read = %d, %v; want EOF", n, err)
	}
}

func (r *rig) expectReset(c stream) {
	r.Helper()
	if n, err := io.Copy(io.Discard, c); !errors.Is(err, syscall.ECONNRESET) {
		r.Fatalf("read = %d, %v; want a reset", n, err)
	}
}

// abort closes a TCP connection with a reset.
func abort(c stream) {
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

func pattern(seed uint64) *rand.ChaCha8 {
	return rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
}

// send writes n bytes of the pattern of a seed, so many at a time.
func send(to io.Writer, seed uint64, n, each int) error {
	p, chunk := pattern(seed), make([]byte, each)
	for n > 0 {
		part := chunk[:min(n, each)]
		p.Read(part)
		if _, err := to.Write(part); err != nil {
			return err
		}
		n -= len(part)
	}
	return nil
}

// receive reads n bytes and wants them to be that pattern, which was sent in any pieces of the same length as each.
func receive(from io.Reader, seed uint64, n int) error {
	p, got, want := pattern(seed), make([]byte, 4096), make([]byte, 4096)
	for n > 0 {
		part := min(n, len(got))
		if _, err := io.ReadFull(from, got[:part]); err != nil {
			return err
		}
		p.Read(want[:part])
		if string(got[:part]) != string(want[:part]) {
			return errors.New("other bytes than were sent")
		}
		n -= part
	}
	return nil
}

// fill writes until nothing more goes in, and returns how much did.
func fill(t *testing.T, to stream) int {
	t.Helper()
	total, zeros := 0, make([]byte, 64<<10)
	for {
		to.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		n, err := to.Write(zeros)
		total += n
		if errors.Is(err, os.ErrDeadlineExceeded) {
			to.SetDeadline(time.Now().Add(deadline))
			return total
		}
		if err != nil {
			t.Fatal(err)
		}
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

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(deadline); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// both runs two things side by side.
func both(a, b func() error) error {
	var other error
	var done sync.WaitGroup
	done.Go(func() { other = b() })
	err := a()
	done.Wait()
	return errors.Join(err, other)
}
