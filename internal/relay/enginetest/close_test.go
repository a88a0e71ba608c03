package enginetest

import (
	"fmt"
	"io"
	"testing"
	"time"

	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/testkit"
)

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

// A reset is passed on at every point, even to a side whose buffers are full and that the session only waits to write to.
func TestReset(t *testing.T) {
	eachEngine(t, func(t *testing.T, e engine) {
		for _, full := range []string{"", "from it", "to it", "both ways"} {
			for _, who := range []relay.Cause{relay.ClientReset, relay.TargetReset} {
				t.Run(fmt.Sprintf("%s %s", who, full), func(t *testing.T) {
					r := newRig(t, e, "tcp", "tcp", nil)
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
					testkit.Reset(first)
					if rec := r.expectCause(who); rec.Err == nil {
						t.Error("the record has no error")
					}
					r.expectReset(second)
				})
			}
		}
	})
}

// A session whose other side takes nothing ends soon after a reset: what the broken side has sent before may be passed on
// for a tenth of a second. A session that begins with the reset and may be open for a second ends later.
func TestResetIsNotHeldBack(t *testing.T) {
	eachEngine(t, func(t *testing.T, e engine) {
		for _, cause := range []relay.Cause{relay.ClientReset, relay.TargetReset} {
			t.Run(string(cause), func(t *testing.T) {
				r := newRig(t, e, "tcp", "tcp", nil)
				broken, other := r.session()
				if cause == relay.TargetReset {
					broken, other = other, broken
				}
				fill(t, broken)
				r.setRoute(func(route *relay.Route) { route.MaxDuration = time.Second }, addressOf(r.target))
				client, server := r.session()
				testkit.Reset(broken)
				r.expectCause(cause)
				r.expectReset(other)
				r.expectCause(relay.MaxDuration)
				r.expectReset(client)
				r.expectReset(server)
			})
		}
	})
}

func TestResetAfterHalfClose(t *testing.T) {
	eachTCP(t, nil, func(r *rig) {
		client, server := r.session()
		client.CloseWrite()
		r.expectEOF(server)
		testkit.Reset(client)
		testkit.Eventually(r.T, "the reset arrives", func() bool {
			_, err := server.Write([]byte("x"))
			return err != nil
		})
		r.expectCause(relay.ClientReset)
	})
}

// What came before a reset is passed on.
func TestBytesBeforeReset(t *testing.T) {
	eachTCP(t, nil, func(r *rig) {
		for i := range 50 {
			client, server := r.session()
			n := 1 + i*5000
			if err := send(client, 1, n, 4096); err != nil {
				r.Fatal(err)
			}
			testkit.Eventually(r.T, "the bytes arrive", func() bool { return inQueue(server) == n || n > 100_000 })
			testkit.Reset(client)
			if n <= 100_000 {
				if err := receive(server, 1, n); err != nil {
					r.Fatalf("%d bytes and a reset: %v", n, err)
				}
			}
			r.expectReset(server)
			r.expectCause(relay.ClientReset)
		}
	})
}

// A side that resets at once, with something unread, cuts nothing in two: the other gets all of it or none.
func TestAnswerAndReset(t *testing.T) {
	eachTCP(t, nil, func(r *rig) {
		for range 50 {
			client, server := r.session()
			client.Write([]byte("a request that is never read"))
			server.Write([]byte("go away"))
			testkit.Reset(server)
			got, err := io.ReadAll(client)
			if string(got) != "go away" && len(got) > 0 || err == nil {
				r.Fatalf("%q, %v", got, err)
			}
			client.Close()
			r.record()
		}
	})
}

func TestEnd(t *testing.T) {
	eachTransport(t, nil, func(r *rig) {
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
	})
}
