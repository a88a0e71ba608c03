package enginetest

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/testkit"
)

// early is how much of what a client has sent the engine loop sends to a target before that is known to stand.
const early = 16 << 10

// lateRig is a rig whose pool is full until release is called: what clients do before, they have done when they are
// accepted. Its target has a port that the kernel does not give to connections.
func lateRig(t *testing.T, e engine, clients, targets string) (r *rig, release func()) {
	t.Helper()
	r = newRig(t, e, clients, targets, nil)
	if targets == "tcp" {
		r.target.Close()
		r.target = testkit.ListenLow(t, "127.0.0.1")
		r.setRoute(nil, addressOf(r.target))
	}
	return r, r.take()
}

// What a client has sent before it is accepted arrives. The engine loop sends it at once, and the target's socket has no
// event for it.
func TestSentBeforeAccepted(t *testing.T) {
	eachEngine(t, func(t *testing.T, e engine) {
		for _, x := range transports {
			for _, n := range []int{1, early - 1, early, early + 1, 100 << 10} {
				t.Run(fmt.Sprintf("%s to %s, %d", x[0], x[1], n), func(t *testing.T) {
					before := watched(t)
					r, release := lateRig(t, e, x[0], x[1])
					client := r.dial()
					if err := send(client, 1, n, n); err != nil {
						t.Fatal(err)
					}
					release()
					server := r.accept()
					if err := receive(server, 1, n); err != nil {
						t.Fatal(err)
					}
					if e.name == "loop" && n <= early && waitsForRoom(t, before) {
						t.Error("an event was waited for")
					}
					r.exchange(client, server, 1000)
					r.exchange(server, client, 1000)
					if rec := r.finish(client, server); rec.Upload != int64(n+1000) || rec.Download != 1000 {
						t.Errorf("record %+v, want %d bytes up", rec, n+1000)
					}
				})
			}
		}
	})
}

// waitsForRoom reports whether an epoll instance that was not there before watches for EPOLLOUT (proc(5)).
func waitsForRoom(t *testing.T, before map[testkit.Descriptor]int) bool {
	t.Helper()
	for epoll := range watched(t) {
		if _, other := before[epoll]; other {
			continue
		}
		for line := range strings.Lines(epoll.Info()) {
			var fd int
			var events uint32
			if n, _ := fmt.Sscanf(line, "tfd: %d events: %x", &fd, &events); n == 2 && events&unix.EPOLLOUT != 0 {
				return true
			}
		}
	}
	return false
}

// A client that has sent all and finished before it is accepted, and one that has only finished.
func TestFinishedBeforeAccepted(t *testing.T) {
	eachEngine(t, func(t *testing.T, e engine) {
		for _, n := range []int{0, 1, 2 * early} {
			r, release := lateRig(t, e, "tcp", "tcp")
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
	})
}

// A client that was reset before it is accepted. Whether its target hears of it depends on who is faster.
func TestResetBeforeAccepted(t *testing.T) {
	eachEngine(t, func(t *testing.T, e engine) {
		r, release := lateRig(t, e, "tcp", "tcp")
		testkit.Reset(r.dial())
		release()
		r.expectCause(relay.ClientReset)
	})
}

// What was read for a target that refuses goes to the next.
func TestSentToOneThatRefuses(t *testing.T) {
	eachEngine(t, func(t *testing.T, e engine) {
		r, release := lateRig(t, e, "tcp", "tcp")
		r.setRoute(nil, dead, addressOf(r.target))
		client := r.dial()
		if err := send(client, 1, 2*early, 2*early); err != nil {
			t.Fatal(err)
		}
		release()
		server := r.accept()
		if err := receive(server, 1, 2*early); err != nil {
			t.Fatal(err)
		}
		if rec := r.finish(client, server); rec.Attempts != 2 || rec.Upload != 2*early {
			t.Errorf("record %+v, want 2 attempts and %d bytes up", rec, 2*early)
		}
	})
}

// What was read for a target that takes its time is kept for it, or for the one that comes after it.
func TestSentToOneThatTakesItsTime(t *testing.T) {
	eachEngine(t, func(t *testing.T, e engine) {
		for _, refuses := range []bool{false, true} {
			r, release := lateRig(t, e, "tcp", "tcp")
			slow := testkit.NewBlackhole(t, "127.0.0.1:0")
			x := r.setRoute(nil, addressAt(slow.Addr), addressOf(r.target)).Targets.All()[0]
			client := r.dial()
			if err := send(client, 1, 1000, 1000); err != nil {
				t.Fatal(err)
			}
			release()
			testkit.Eventually(t, "it connects", func() bool { return x.Sessions() == 1 })
			var server stream
			if refuses {
				slow.Close()
				server = r.accept()
			} else {
				server = r.adopt(slow.Open())
			}
			if err := receive(server, 1, 1000); err != nil {
				t.Fatal(err)
			}
			if rec := r.finish(client, server); rec.Upload != 1000 {
				t.Errorf("record %+v, want 1000 bytes up", rec)
			}
		}
	}, resting...)
}
