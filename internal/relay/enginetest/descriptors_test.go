package enginetest

import (
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/testkit"
)

const ours = 2 // the test's own ends of a session

// A session holds the descriptors that its engine says. Those of copy are pipes too: what is between the two
// connections must not keep Go from splicing them.
func TestDescriptorsOfASession(t *testing.T) {
	eachTCP(t, nil, func(r *rig) {
		client, server := r.session()
		r.exchange(client, server, 1)
		testkit.Eventually(r.T, "as many descriptors as the engine says", func() bool {
			return testkit.CountDescriptors(r.T) == r.held+ours+r.kind.perSession
		})
		r.finish(client, server)
	})
}

// A receiver that stands still keeps no pipe, and loses no byte.
func TestStalledReceiverKeepsNoPipe(t *testing.T) {
	eachTCP(t, nil, func(r *rig) {
		before := testkit.CountDescriptors(r.T, "pipe")
		var client, server stream
		n := 0
		// A flow is spliced once bytes come faster than the loop takes them, which is up to the kernel's scheduler.
		testkit.Eventually(r.T, "a flow that stands still has a pipe", func() bool {
			client, server = r.session()
			if n = fill(r.T, client); testkit.CountDescriptors(r.T, "pipe") > before {
				return true
			}
			testkit.Reset(client)
			r.expectCause(relay.ClientReset)
			return false
		})
		testkit.Eventually(r.T, "the pipe is given back", func() bool { return testkit.CountDescriptors(r.T, "pipe") == before })
		upload := func() error { return send(client, 1, 5<<20, 4096) }
		err := both(upload, func() error {
			if _, err := io.CopyN(io.Discard, server, int64(n)); err != nil {
				return err
			}
			return receive(server, 1, 5<<20)
		})
		if err != nil {
			r.Fatal(err)
		}
		r.finish(client, server)
	}, "loop")
}

// Sessions are spread over the loops, each of which watches its own.
func TestSpread(t *testing.T) {
	eachEngine(t, func(t *testing.T, e engine) {
		before := watched(t)
		r := newRig(t, e, "tcp", "tcp", nil)
		loops := watched(t)
		for range 40 {
			r.session()
		}
		testkit.Eventually(t, "all sockets are registered", func() bool {
			all := 0
			for name, sockets := range watched(t) {
				if _, other := before[name]; !other {
					all += sockets - loops[name]
				}
			}
			return all == 2*40
		})
		least, most := 1<<30, 0
		for name, sockets := range watched(t) {
			if _, other := before[name]; !other {
				sessions := (sockets - loops[name]) / 2
				least, most = min(least, sessions), max(most, sessions)
			}
		}
		if most-least > 2+least/8 {
			t.Errorf("one loop has %d sessions, another %d", most, least)
		}
		r.engine.End(relay.Stopped)
	}, "loop")
}

// watched is how many descriptors each epoll instance of this process watches (proc(5)), by its descriptor.
func watched(t *testing.T) map[string]int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]int{}
	for _, name := range names {
		if link, err := os.Readlink("/proc/self/fd/" + name.Name()); err != nil || link != "anon_inode:[eventpoll]" {
			continue
		}
		info, err := os.ReadFile("/proc/self/fdinfo/" + name.Name())
		if err != nil {
			t.Fatal(err)
		}
		all[name.Name()] = strings.Count(string(info), "tfd:")
	}
	return all
}

// Sessions that are open move bytes without any allocation.
func TestAllocatesNothing(t *testing.T) {
	eachTCP(t, func(r *relay.Route) { r.IdleTimeout = time.Hour }, func(r *rig) {
		client, server := r.session()
		for _, n := range []int{64, 1 << 20} {
			p, into, done := make([]byte, n), make([]byte, n), make(chan error, 1)
			move := func() {
				go func() {
					_, err := client.Write(p)
					done <- err
				}()
				if _, err := io.ReadFull(server, into); err != nil {
					r.Error(err)
				}
				if err := <-done; err != nil {
					r.Error(err)
				}
			}
			move()
			// The goroutine above is the test's own.
			if allocations := testing.AllocsPerRun(200, move); allocations > 3 {
				r.Errorf("%v allocations to move %d bytes", allocations, n)
			}
		}
		r.finish(client, server)
	}, "loop")
}
