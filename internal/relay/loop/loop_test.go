package loop

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/relay"
)

var transports = [][2]string{{"tcp", "tcp"}, {"tcp", "unix"}, {"unix", "tcp"}, {"unix", "unix"}}

func eachTransport(t *testing.T, change func(*relay.Route), test func(*rig)) {
	for _, tr := range transports {
		t.Run(tr[0]+" to "+tr[1], func(t *testing.T) { test(newRig(t, tr[0], tr[1], change)) })
	}
}

// Every byte arrives, both ways at once, in whatever pieces it is sent.
func TestCarries(t *testing.T) {
	eachTransport(t, nil, func(r *rig) {
		for _, each := range []int{1, 63, 4097, bufferSize - 1, bufferSize, bufferSize + 1, 1 << 20} {
			client, server := r.session()
			n := min(each*1000, 6<<20+1)
			err := both(
				func() error {
					return both(func() error { return send(client, 1, n, each) }, func() error { return receiveAny(server, 1, n, each) })
				},
				func() error {
					return both(func() error { return send(server, 2, n, each) }, func() error { return receiveAny(client, 2, n, each) })
				})
			if err != nil {
				r.Fatalf("pieces of %d: %v", each, err)
			}
			client.CloseWrite()
			r.expectEOF(server)
			server.CloseWrite()
			r.expectEOF(client)
			rec := r.expectCause(relay.ClientClosed)
			if rec.Upload != int64(n) || rec.Download != int64(n) || rec.Attempts != 1 || rec.App != "test" || rec.Port != "port" {
				r.Errorf("record %+v, want %d bytes each way", rec, n)
			}
		}
	})
}

// receiveAny is receive for a pattern that was sent in pieces.
func receiveAny(from io.Reader, seed uint64, n, each int) error {
	pipe, write := io.Pipe()
	go func() { write.CloseWithError(send(write, seed, n, each)) }()
	defer pipe.Close()
	got, want := make([]byte, 32<<10), make([]byte, 32<<10)
	for n > 0 {
		part := min(n, len(got))
		if _, err := io.ReadFull(from, got[:part]); err != nil {
			return err
		}
		if _, err := io.ReadFull(pipe, want[:part]); err != nil {
			return err
		}
		if string(got[:part]) != string(want[:part]) {
			return fmt.Errorf("other bytes than were sent, %d before the end", n)
		}
		n -= part
	}
	return nil
}

// A client whose socket takes little at a time gets every byte too.
func TestSmallSendBuffer(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		for _, n := range []int{150_000, 3_000_000} {
			t.Run(fmt.Sprintf("%s %d", network, n), func(t *testing.T) {
				r := newRig(t, network, "tcp", nil)
				for _, x := range r.engine.ports {
					if err := unix.SetsockoptInt(x.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 8192); err != nil {
						t.Fatal(err)
					}
				}
				client, server := r.session()
				client.(interface{ SetReadBuffer(int) error }).SetReadBuffer(32 << 10)
				err := both(func() error { return send(server, 1, n, 4096) }, func() error {
					time.Sleep(50 * time.Millisecond) // until what goes in is in
					return receive(client, 1, n)
				})
				if err != nil {
					t.Fatal(err)
				}
				client.Close()
				server.Close()
				r.record()
			})
		}
	}
}

func TestHalfClose(t *testing.T) {
	eachTransport(t, nil, func(r *rig) {
		for _, who := range []relay.Cause{relay.ClientClosed, relay.TargetClosed} {
			first, second := r.session()
			if who == relay.TargetClosed {
				first, second = second, first
			}
			first.CloseWrite()
			r.expectEOF(second)
			r.exchange(second, first, 300_000)
			second.CloseWrite()
			r.expectEOF(first)
			r.expectCause(who)
		}
	})
}

// What is under way when a side finishes arrives before the end.
func TestFinishBehindUnread(t *testing.T) {
	eachTransport(t, nil, func(r *rig) {
		client, server := r.session()
		n := fill(r.T, client)
		client.CloseWrite()
		if got, err := io.Copy(io.Discard, server); got != int64(n) || err != nil {
			r.Fatalf("%d bytes arrived, %v; want %d", got, err, n)
		}
		server.CloseWrite()
		r.expectEOF(client)
		if rec := r.expectCause(relay.ClientClosed); rec.Upload != int64(n) {
			r.Errorf("the record says %d, want %d", rec.Upload, n)
		}
	})
}

func TestReset(t *testing.T) {
	for _, full := range []string{"", "from it", "to it", "both ways"} {
		for _, who := range []relay.Cause{relay.ClientReset, relay.TargetReset} {
			t.Run(fmt.Sprintf("%s %s", who, full), func(t *testing.T) {
				r := newRig(t, "tcp", "tcp", nil)
				first, second := r.session()
				if who == relay.TargetReset {
					first, second = second, first
				}
				r.exchange(first, second, 1000)
				if full == "from it" || full == "both ways" {
					fill(t, first)
				}
				if full == "to it" || full == "both ways" {
					fill(t, second)
				}
				abort(first)
				r.expectCause(who)
				if full != "from it" && full != "both ways" {
					r.expectReset(second)
				}
			})
		}
	}
}

// What came before a reset is passed on.
func TestBytesBeforeReset(t *testing.T) {
	r := newRig(t, "tcp", "tcp", nil)
	for i := range 50 {
		client, server := r.session()
		n := 1 + i*5000
		if err := send(client, 1, n, 4096); err != nil {
			t.Fatal(err)
		}
		await(t, "the bytes arrive", func() bool { return inQueue(server) == n || n > 100_000 })
		abort(client)
		if n <= 100_000 {
			if err := receive(server, 1, n); err != nil {
				t.Fatalf("%d bytes and a reset: %v", n, err)
			}
		}
		r.expectReset(server)
		r.expectCause(relay.ClientReset)
	}
}

func inQueue(c stream) int {
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return -1
	}
	n := -1
	raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCINQ) })
	return n
}

// Urgent data makes reads short. What comes behind it must not wait for more to come.
func TestUrgentData(t *testing.T) {
	r := newRig(t, "tcp", "tcp", nil)
	client, server := r.session()
	raw, err := client.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		var sendErr error
		raw.Control(func(fd uintptr) {
			sendErr = unix.Send(int(fd), []byte("before!"), unix.MSG_OOB) // the last byte is out of band, and dropped
		})
		if sendErr != nil {
			t.Fatal(sendErr)
		}
		if _, err := client.Write([]byte("behind")); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len("beforebehind"))
		if _, err := io.ReadFull(server, got); err != nil || string(got) != "beforebehind" {
			t.Fatalf("%q, %v", got, err)
		}
	}
	client.CloseWrite()
	r.expectEOF(server)
	server.CloseWrite()
	r.expectEOF(client)
	r.expectCause(relay.ClientClosed)
}

func TestIdleTimeout(t *testing.T) {
	eachTransport(t, func(r *relay.Route) { r.IdleTimeout = 200 * time.Millisecond }, func(r *rig) {
		client, server := r.session()
		for range 4 { // for longer than the time-out
			time.Sleep(80 * time.Millisecond)
			r.exchange(client, server, 1)
		}
		begin := time.Now()
		r.expectCause(relay.IdleTimeout)
		if took := time.Since(begin); took < 150*time.Millisecond || took > 5*time.Second {
			r.Errorf("it took %v", took)
		}
	})
}

func TestHalfCloseTimeout(t *testing.T) {
	eachTransport(t, func(r *relay.Route) { r.HalfCloseTimeout = 100 * time.Millisecond }, func(r *rig) {
		client, server := r.session()
		time.Sleep(200 * time.Millisecond) // means nothing yet
		r.exchange(client, server, 10)
		server.CloseWrite()
		r.expectEOF(client)
		r.expectCause(relay.HalfCloseTimeout)
	})
}

func TestEnd(t *testing.T) {
	r := newRig(t, "tcp", "tcp", nil)
	const sessions = 20
	var all []stream
	for range sessions {
		client, server := r.session()
		all = append(all, client, server)
	}
	r.engine.End(relay.Stopped)
	for _, c := range all {
		r.expectReset(c)
	}
	for range sessions {
		r.expectCause(relay.Stopped)
	}
}

// The next target is tried when one refuses, and the client is reset when none is left.
func TestFailOver(t *testing.T) {
	dead := config.Address{Network: "tcp", Host: "127.0.0.1", Port: 1}
	missing := config.Address{Network: "unix", Path: "/nonexistent/socket"}
	r := newRig(t, "tcp", "tcp", nil)
	r.port.Route.Store(&relay.Route{App: "test", Targets: setOf(dead, missing, addressOf(r.target)), ConnectTimeout: deadline})
	client, server := r.session()
	r.exchange(client, server, 100)
	client.Close()
	server.Close()
	if rec := r.record(); rec.Attempts != 3 {
		t.Errorf("record %+v, want 3 attempts", rec)
	}
	r.port.Route.Store(&relay.Route{App: "test", Targets: setOf(dead, missing), ConnectTimeout: deadline})
	r.refused()
	if rec := r.expectCause(relay.ConnectFailed); rec.Attempts != 2 || !strings.Contains(rec.Err.Error(), "connect to ") {
		t.Errorf("record %+v, want 2 attempts", rec)
	}
}

// Every address of a name is tried. The target listens on IPv4 alone.
func TestName(t *testing.T) {
	r := newRig(t, "tcp", "tcp", nil)
	a := addressOf(r.target)
	a.Host = "localhost"
	r.port.Route.Store(&relay.Route{App: "test", Targets: setOf(a), ConnectTimeout: deadline})
	for range 10 {
		client, server := r.session()
		r.exchange(client, server, 100)
		client.Close()
		server.Close()
		r.expectCause(relay.ClientClosed)
	}
	a.Host = "no-such-name.invalid"
	r.port.Route.Store(&relay.Route{App: "test", Targets: setOf(a), ConnectTimeout: deadline})
	r.refused()
	r.expectCause(relay.ConnectFailed)
}

// blackhole is a target to which a connect neither succeeds nor fails: its queue is full.
func blackhole(t *testing.T) config.Address {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	a := config.Address{Network: "tcp", Host: "127.0.0.1", Port: uint16(name.(*unix.SockaddrInet4).Port)}
	for hung := 0; hung < 2; {
		c, err := net.DialTimeout("tcp", a.String(), 200*time.Millisecond)
		if err != nil {
			hung++
			continue
		}
		t.Cleanup(func() { c.Close() })
	}
	return a
}

func TestConnectTimeout(t *testing.T) {
	hole := blackhole(t)
	r := newRig(t, "tcp", "tcp", nil)
	r.port.Route.Store(&relay.Route{App: "test", Targets: setOf(hole, addressOf(r.target)), ConnectTimeout: 150 * time.Millisecond})
	client, server := r.session()
	r.exchange(client, server, 100)
	client.Close()
	server.Close()
	if rec := r.record(); rec.Attempts != 2 || rec.Connect < 150*time.Millisecond {
		t.Errorf("record %+v", rec)
	}
}

// A session that connects ends when its client resets, or when it is told to.
func TestEndWhileConnecting(t *testing.T) {
	hole := blackhole(t)
	r := newRig(t, "tcp", "tcp", nil)
	set := setOf(hole)
	r.port.Route.Store(&relay.Route{App: "test", Targets: set, ConnectTimeout: deadline})
	client := r.dial()
	await(t, "it connects", func() bool { return set.All()[0].Sessions() == 1 })
	abort(client)
	r.expectCause(relay.ClientReset)
	client = r.dial()
	await(t, "it connects", func() bool { return set.All()[0].Sessions() == 1 })
	r.engine.End(relay.Stopped)
	r.expectReset(client)
	r.expectCause(relay.Stopped)
	if n := set.All()[0].Sessions(); n != 0 {
		t.Errorf("the target still has %d sessions", n)
	}
}

// While the pool is full nobody is accepted, and no processor time is used. Then everyone is, in time.
func TestPoolFull(t *testing.T) {
	r := newRig(t, "tcp", "tcp", nil)
	never := make(chan struct{})
	for range r.workers.Max() {
		r.workers.Acquire(never)
	}
	const waiting = 10
	var clients []stream
	for range waiting {
		clients = append(clients, r.dial())
	}
	await(t, "the pool is full", func() bool { return r.workers.Paused() == 1 })
	before := cpu(t)
	time.Sleep(300 * time.Millisecond)
	if used := cpu(t) - before; used > 150*time.Millisecond {
		t.Errorf("%v of processor time in 300ms of waiting", used)
	}
	for range r.workers.Max() {
		r.workers.Release()
	}
	for range waiting {
		r.accept().Close()
	}
	for _, c := range clients {
		r.expectEOF(c)
		c.Close()
	}
	for range waiting {
		r.expectCause(relay.TargetClosed)
	}
}

func cpu(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// A receiver that stands still keeps no pipe, and loses no byte.
func TestStalledReceiverKeepsNoPipe(t *testing.T) {
	r := newRig(t, "tcp", "tcp", nil)
	client, server := r.session()
	n := fill(t, client)
	if r.engine.pipes.Load() == 0 {
		t.Fatal("nothing was spliced")
	}
	await(t, "the pipe is given back", func() bool { return r.engine.pipes.Load() == 0 })
	sent := make(chan error, 1)
	go func() { sent <- send(client, 1, 5<<20, 4096) }()
	if got, err := io.CopyN(io.Discard, server, int64(n)); err != nil {
		t.Fatalf("%v after %d of %d bytes", err, got, n)
	}
	if err := receive(server, 1, 5<<20); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	client.Close()
	server.Close()
	r.record()
}

// Sessions are spread over the loops.
func TestSpread(t *testing.T) {
	r := newRig(t, "tcp", "tcp", nil)
	for range 40 {
		r.session()
	}
	least, most := int64(1000), int64(0)
	for _, l := range r.engine.loops {
		least, most = min(least, l.open.Load()), max(most, l.open.Load())
	}
	if most-least > 2+least/8 {
		t.Errorf("one loop has %d sessions, another %d", most, least)
	}
	r.engine.End(relay.Stopped)
}

// Sessions that are open move bytes without any allocation.
func TestAllocatesNothing(t *testing.T) {
	r := newRig(t, "tcp", "tcp", func(r *relay.Route) { r.IdleTimeout = time.Hour })
	client, server := r.session()
	request, big := make([]byte, 64), make([]byte, 1<<20)
	exchange := func(p []byte) func() {
		into := make([]byte, len(p))
		return func() {
			done := make(chan error, 1)
			go func() {
				_, err := client.Write(p)
				done <- err
			}()
			for got := 0; got < len(p); {
				n, err := server.Read(into[got:])
				if err != nil {
					t.Error(err)
					return
				}
				got += n
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	for _, p := range [][]byte{request, big} {
		move := exchange(p)
		move()
		// The goroutine and the channel above are the test's own.
		if n := testing.AllocsPerRun(200, move); n > 3 {
			t.Errorf("%v allocations to move %d bytes", n, len(p))
		}
	}
}

func TestCloseUnknownPort(t *testing.T) {
	r := newRig(t, "tcp", "tcp", nil)
	if err := r.engine.Close(&relay.Port{Name: "other"}); err == nil {
		t.Error("no error")
	}
}

func TestAlive(t *testing.T) {
	r := newRig(t, "tcp", "tcp", nil)
	for range 20 {
		client, server := r.session()
		if err := r.engine.Alive(t.Context()); err != nil {
			t.Fatal(err)
		}
		client.Close()
		server.Close()
	}
}
