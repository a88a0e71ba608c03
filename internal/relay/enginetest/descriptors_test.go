package enginetest

import (
	"io"
	"slices"
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
		const sessions = 40
		for range sessions {
			r.session()
		}
		// A target may know of a connection before a loop watches it.
		var spread []int
		testkit.Eventually(t, "every socket is watched", func() bool {
			spread = nil
			sum := 0
			for epoll, sockets := range watched(t) {
				if _, other := before[epoll]; !other {
					spread = append(spread, sockets-loops[epoll])
					sum += sockets - loops[epoll]
				}
			}
			return sum >= 2*sessions
		}, func() any { return spread })
		least, most := slices.Min(spread)/2, slices.Max(spread)/2
		if most-least > 2+least/8 {
			t.Errorf("one loop has %d sessions, another %d", most, least)
		}
		r.engine.End(relay.Stopped)
	}, "loop")
}

// watched is how many descriptors each epoll instance of this process watches (proc_pid_fdinfo(5)), by its descriptor.
func watched(t *testing.T) map[testkit.Descriptor]int {
	t.Helper()
	all := map[testkit.Descriptor]int{}
	for _, d := range testkit.OpenDescriptors(t, "[eventpoll]") {
		all[d] = strings.Count(d.Info(), "tfd:")
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
