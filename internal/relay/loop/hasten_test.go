package loop

import (
	"errors"
	"math"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/relay"
)

// lateRig is a rig whose pool is full until release is called, and whose targets have ports that the kernel does not
// give to connections: what clients do before, they have done when they are accepted.
func lateRig(t *testing.T, clients, targets string, change func(*relay.Route)) (r *rig, release func()) {
	t.Helper()
	r = newRig(t, clients, targets, change)
	taken := 0
	for r.workers.TryAcquire() {
		taken++
	}
	return r, func() {
		r.engine.ephemeral = math.MaxUint16
		for range taken {
			r.workers.Release()
		}
	}
}

// onSessions calls look for every session, on its loop.
func (r *rig) onSessions(look func(*session)) {
	r.Helper()
	for _, l := range r.engine.loops {
		done := make(chan struct{})
		l.inbox.post(func() {
			l.slab.each(look)
			close(done)
		})
		<-done
	}
}

// What a client has sent before it is accepted goes to its target at once, and the target's socket has no event for it.
func TestHasten(t *testing.T) {
	for _, tr := range transports {
		for _, n := range []int{1, early - 1, early, early + 1, 100 << 10} {
			t.Run(tr[0]+" to "+tr[1], func(t *testing.T) {
				r, release := lateRig(t, tr[0], tr[1], nil)
				client := r.dial()
				if err := send(client, 1, n, n); err != nil {
					t.Fatal(err)
				}
				release()
				server := r.accept()
				if err := receive(server, 1, n); err != nil {
					t.Fatal(err)
				}
				r.onSessions(func(s *session) {
					if n <= early && s.side[upstream].mark.has(watchesOut) {
						t.Error("an event was waited for")
					}
				})
				r.exchange(client, server, 1000)
				r.exchange(server, client, 1000)
				client.CloseWrite()
				r.expectEOF(server)
				server.CloseWrite()
				r.expectEOF(client)
				if rec := r.expectCause(relay.ClientClosed); rec.Upload != int64(n+1000) || rec.Download != 1000 {
					t.Errorf("record %+v, want %d bytes up", rec, n+1000)
				}
			})
		}
	}
}

// A client that has sent all and finished before it is accepted, and one that has only finished.
func TestHastenFinished(t *testing.T) {
	for _, n := range []int{0, 1, 2 * early} {
		r, release := lateRig(t, "tcp", "tcp", nil)
		client := r.dial()
		if err := send(client, 1, n, n+1); err != nil {
			t.Fatal(err)
		}
		client.CloseWrite()
		release()
		server := r.accept()
		if err := receive(server, 1, n); err != nil {
			t.Fatal(err)
		}
		r.expectEOF(server)
		r.exchange(server, client, 1000)
		server.CloseWrite()
		r.expectEOF(client)
		if rec := r.expectCause(relay.ClientClosed); rec.Upload != int64(n) {
			t.Errorf("record %+v, want %d bytes up", rec, n)
		}
	}
}

// A client that was reset before it is accepted.
func TestHastenReset(t *testing.T) {
	r, release := lateRig(t, "tcp", "tcp", nil)
	abort(r.dial())
	release()
	r.expectReset(r.accept())
	r.expectCause(relay.ClientReset)
}

// What was read for a target that refuses goes to the next.
func TestHastenRefused(t *testing.T) {
	r, release := lateRig(t, "tcp", "tcp", nil)
	dead := config.Address{Network: "tcp", Host: "127.0.0.1", Port: 1}
	r.port.Route.Store(&relay.Route{App: "test", Targets: setOf(dead, addressOf(r.target)), ConnectTimeout: deadline})
	client := r.dial()
	if err := send(client, 1, 2*early, 2*early); err != nil {
		t.Fatal(err)
	}
	release()
	server := r.accept()
	if err := receive(server, 1, 2*early); err != nil {
		t.Fatal(err)
	}
	client.Close()
	server.Close()
	if rec := r.expectCause(relay.ClientClosed); rec.Attempts != 2 || rec.Upload != 2*early {
		t.Errorf("record %+v, want 2 attempts and %d bytes up", rec, 2*early)
	}
}

// What was read for a target that takes its time is kept for it.
func TestHastenHeld(t *testing.T) {
	r, release := lateRig(t, "tcp", "tcp", nil)
	busy := narrow(t)
	r.port.Route.Store(&relay.Route{App: "test", Targets: setOf(addressOf(busy)), ConnectTimeout: deadline})
	first, err := net.Dial("tcp", busy.Addr().String()) // has the one place in the backlog
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	client := r.dial()
	if err := send(client, 1, 1000, 1000); err != nil {
		t.Fatal(err)
	}
	release()
	await(t, "the session holds what it has read", func() (held bool) {
		r.onSessions(func(s *session) { held = s.state == connecting && s.flow[0].pending == 1000 })
		return held
	})
	for range 2 {
		c, err := busy.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if c.RemoteAddr().String() == first.LocalAddr().String() {
			continue
		}
		if err := receive(c, 1, 1000); err != nil {
			t.Fatal(err)
		}
	}
	client.Close()
	r.engine.End(relay.Stopped)
	if rec := r.record(); rec.Upload != 1000 {
		t.Errorf("record %+v, want 1000 bytes up", rec)
	}
}

// narrow listens with room for one connection to wait.
func narrow(t *testing.T) net.Listener {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "listener")
	defer file.Close()
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	l, err := net.FileListener(file) // listens again
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}
