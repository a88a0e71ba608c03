package enginetest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/testkit"
	"tcp-proxy/internal/upstream"
)

// sessions returns up to limit open sessions that match.
func (r *rig) sessions(limit int, match func(*relay.OpenSession) bool) relay.OpenSessions {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Timeout)
	defer cancel()
	found := r.engine.Sessions(ctx, relay.Selection{Match: match, Limit: limit})
	if found.Missing > 0 {
		r.Errorf("%d event loops have not answered", found.Missing)
	}
	return found
}

// only waits until the one open session has come so far.
func (r *rig) only(progress relay.Progress) (s relay.OpenSession) {
	r.Helper()
	testkit.Eventually(r.T, "the session is "+string(progress), func() bool {
		found := r.sessions(10, nil)
		if len(found.Oldest) == 1 {
			s = found.Oldest[0]
		}
		return len(found.Oldest) == 1 && s.Progress == progress
	}, func() any { return r.sessions(10, nil) })
	return s
}

func (r *rig) close(id uint64) error {
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Timeout)
	defer cancel()
	return r.engine.EndSession(ctx, id, relay.OperatorReset)
}

// A list has what is known of a session, which is also what its record will say.
func TestSessionsAreListed(t *testing.T) {
	eachTransport(t, nil, func(r *rig) {
		before := time.Now()
		client, server := r.session()
		r.exchange(client, server, 200_001)
		r.exchange(server, client, 100_003)
		var s relay.OpenSession
		testkit.Eventually(r.T, "all bytes are counted", func() bool { // the peer's kernel acknowledges them a little later
			s = r.only(relay.Established)
			return s.Upload == 200_001 && s.Download == 100_003
		}, func() any { return s })
		if s.Route != r.port.Route.Load() || s.Port != r.port || s.Target != r.targets()[0] || s.Peer != s.Client {
			r.Errorf("%+v", s)
		}
		want := netip.AddrPort{}
		if client.LocalAddr().Network() == "tcp" {
			want = addrPort(client.LocalAddr())
		}
		if s.Client != want {
			r.Errorf("the client is %v, want %v", s.Client, want)
		}
		if now := time.Now(); s.Begun.Before(before) || s.Moved.Before(s.Begun) || s.Moved.After(now) {
			r.Errorf("accepted at %v, quiet since %v; it is %v", s.Begun, s.Moved, now)
		}
		quiet := s.Moved
		testkit.Eventually(r.T, "it is quiet for a while", func() bool { return time.Since(quiet) > 50*time.Millisecond })
		if s := r.only(relay.Established); time.Since(s.Moved) < 30*time.Millisecond {
			r.Errorf("nothing was sent, and the session is quiet since %v", s.Moved)
		}
		client.CloseWrite()
		r.expectEOF(server)
		if half := r.only(relay.HalfClosed); half.ID != s.ID {
			r.Errorf("the session %d is %d now", s.ID, half.ID)
		}
		if rec := r.finish(client, server); rec.ID != s.ID || s.ID == 0 {
			r.Errorf("the session %d has a record of %d", s.ID, rec.ID)
		}
		if found := r.sessions(10, nil); found.Open != 0 || len(found.Oldest) != 0 {
			r.Errorf("after its end: %+v", found)
		}
		if err := r.close(s.ID); !errors.Is(err, relay.ErrNoSession) {
			r.Errorf("a session that has ended: %v", err)
		}
	})
}

// Of many sessions the oldest are listed, in order, and the rest is counted.
func TestOldestSessionsAreListed(t *testing.T) {
	eachTCP(t, nil, func(r *rig) {
		const sessions, limit = 20, 7
		var ids []uint64
		for range sessions {
			r.session()
			testkit.Eventually(r.T, "the session is open", func() bool { return r.sessions(1, nil).Open == len(ids)+1 })
			all := r.sessions(sessions, nil).Oldest
			ids = append(ids, all[len(all)-1].ID)
		}
		listed := func(found relay.OpenSessions) (ids []uint64) {
			for _, s := range found.Oldest {
				ids = append(ids, s.ID)
			}
			return ids
		}
		found := r.sessions(limit, nil)
		if got := listed(found); !slices.Equal(got, ids[:limit]) || found.Open != sessions || found.Matching != sessions {
			r.Errorf("%v of %d, which match %d; want %v", got, found.Open, found.Matching, ids[:limit])
		}
		found = r.sessions(limit, func(s *relay.OpenSession) bool { return slices.Index(ids, s.ID) >= 15 })
		if got := listed(found); !slices.Equal(got, ids[15:]) || found.Open != sessions || found.Matching != 5 {
			r.Errorf("%v of %d, which match %d; want %v", got, found.Open, found.Matching, ids[15:])
		}
		distinct := slices.Sorted(slices.Values(ids))
		if len(slices.Compact(distinct)) != sessions {
			r.Errorf("the IDs are %v", ids)
		}
		r.engine.End(relay.Stopped)
		for range sessions {
			r.expectCause(relay.Stopped)
		}
		r.session()
		if s := r.only(relay.Established); slices.Contains(ids, s.ID) {
			r.Errorf("the ID %d was used before", s.ID)
		}
		r.engine.End(relay.Stopped)
	})
}

// An operator ends one session, whatever it does, with a reset on both sides; and no other one.
func TestEndSession(t *testing.T) {
	eachEngine(t, func(t *testing.T, e engine) {
		for _, c := range []struct {
			name     string
			progress relay.Progress
			bring    func(*rig) []stream // the ends that are to be reset
		}{
			{"awaits a header", relay.AwaitsHeader, func(r *rig) []stream {
				r.setRoute(func(route *relay.Route) { route.ProxyFrom = anywhere }, addressOf(r.target))
				client := r.dial()
				io.WriteString(client, greeting(1)[:9])
				return []stream{client}
			}},
			{"connecting", relay.Connecting, func(r *rig) []stream {
				hole := testkit.NewBlackhole(r.T, "127.0.0.1:0")
				r.setRoute(nil, addressAt(hole.Addr))
				return []stream{r.dial()}
			}},
			{"racing", relay.Connecting, func(r *rig) []stream {
				holes := []*testkit.Blackhole{testkit.NewBlackhole(r.T, "127.0.0.1:0"), testkit.NewBlackhole(r.T, "[::1]:0")}
				targets := r.named(testkit.Timeout, holes[0].Addr, holes[1].Addr)
				client := r.dial()
				testkit.Eventually(r.T, "both are tried", func() bool { return targets[0].Sessions() == 1 && targets[1].Sessions() == 1 })
				return []stream{client}
			}},
			{"established", relay.Established, func(r *rig) []stream {
				client, server := r.session()
				r.exchange(client, server, 1000)
				return []stream{client, server}
			}},
			{"both sides take nothing", relay.Established, func(r *rig) []stream {
				client, server := r.session()
				fill(r.T, client)
				fill(r.T, server)
				return []stream{client, server}
			}},
			{"held back by a rate", relay.Established, func(r *rig) []stream {
				r.setRoute(func(route *relay.Route) { route.Upload = 1000 }, addressOf(r.target))
				client, server := r.session()
				client.Write(make([]byte, 100_000))
				return []stream{client, server}
			}},
			{"the client has finished", relay.HalfClosed, func(r *rig) []stream {
				client, server := r.session()
				client.CloseWrite()
				r.expectEOF(server)
				return []stream{client}
			}},
			{"the target has finished", relay.HalfClosed, func(r *rig) []stream {
				client, server := r.session()
				server.CloseWrite()
				r.expectEOF(client)
				return []stream{server}
			}},
		} {
			t.Run(c.name, func(t *testing.T) {
				r := newRig(t, e, "tcp", "tcp", nil)
				ends := c.bring(r)
				s := r.only(c.progress)
				if err := r.close(s.ID + 1000); !errors.Is(err, relay.ErrNoSession) {
					r.Errorf("an ID that nobody has: %v", err)
				}
				if err := r.close(s.ID); err != nil {
					r.Error(err)
				}
				for _, end := range ends {
					r.expectReset(end)
				}
				if rec := r.expectCause(relay.OperatorReset); rec.ID != s.ID || rec.Err != nil {
					r.Errorf("%+v", rec)
				}
				if err := r.close(s.ID); !errors.Is(err, relay.ErrNoSession) {
					r.Errorf("a second time: %v", err)
				}
			})
		}
	})
}

// A session that waits for a slot can be ended, and the one that has the slot goes on.
func TestEndSessionThatWaits(t *testing.T) {
	eachTCP(t, nil, func(r *rig) {
		set := upstream.NewSet([]config.Target{{Address: addressOf(r.target), Weight: 1, MaxSessions: 1}}, upstream.Policy{Retry: time.Hour}, nil)
		r.setRoute(func(route *relay.Route) { route.Targets = set })
		client, server := r.session()
		first := r.only(relay.Established)
		waiting := r.dial()
		var second relay.OpenSession
		testkit.Eventually(r.T, "a session waits", func() bool {
			found := r.sessions(10, func(s *relay.OpenSession) bool { return s.Progress == relay.AwaitsSlot })
			if found.Matching == 1 {
				second = found.Oldest[0]
			}
			return found.Matching == 1
		})
		if second.Target != nil || !second.Moved.IsZero() || second.ID == first.ID {
			r.Errorf("it says %+v", second)
		}
		if err := r.close(second.ID); err != nil {
			r.Error(err)
		}
		r.expectReset(waiting)
		r.expectCause(relay.OperatorReset)
		r.exchange(client, server, 1000)
		r.finish(client, server)
	})
}

// The list says who the client is by its PROXY header, and who has sent that.
func TestSessionsWithHeader(t *testing.T) {
	eachTransport(t, func(r *relay.Route) { r.ProxyFrom = anywhere }, func(r *rig) {
		client := r.dial()
		io.WriteString(client, greeting(2))
		server := r.accept()
		s := r.only(relay.Established)
		peer := netip.AddrPort{}
		if client.LocalAddr().Network() == "tcp" {
			peer = addrPort(client.LocalAddr())
		}
		if s.Client != theirs || s.Peer != peer {
			r.Errorf("the client is %v by %v", s.Client, s.Peer)
		}
		r.finish(client, server)
	})
}

// Sessions come and go while others list them and end some: each has one record, with an ID of its own.
func TestListWhileSessionsComeAndGo(t *testing.T) {
	eachTCP(t, nil, func(r *rig) {
		const clients, each = 4, 30
		done := make(chan struct{})
		var others, all sync.WaitGroup
		for range 2 {
			others.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
					}
					for _, s := range r.sessions(3, nil).Oldest {
						if s.ID%3 == 0 {
							if err := r.close(s.ID); err != nil && !errors.Is(err, relay.ErrNoSession) {
								t.Error(err)
							}
						}
					}
				}
			})
		}
		others.Go(func() {
			for {
				c, err := r.target.Accept()
				if err != nil {
					return
				}
				others.Go(func() {
					io.Copy(c, c)
					c.Close()
				})
			}
		})
		for range clients {
			all.Go(func() {
				for range each {
					c, err := net.Dial("tcp", r.port.Listener.Addr().String())
					if errors.Is(err, unix.ECONNRESET) { // the session was ended before Dial returned
						continue
					}
					if err != nil {
						t.Error(err)
						return
					}
					c.Write([]byte("hello"))
					c.(stream).CloseWrite()
					io.Copy(io.Discard, c) // all of it, or a reset
					c.Close()
				}
			})
		}
		seen := map[uint64]bool{}
		for range clients * each {
			rec := r.record()
			if rec.ID == 0 || seen[rec.ID] || rec.Cause != relay.ClientClosed && rec.Cause != relay.OperatorReset && rec.Cause != relay.TargetClosed && rec.Cause != relay.ClientReset {
				t.Errorf("%+v", rec)
			}
			seen[rec.ID] = true
		}
		all.Wait()
		close(done)
		r.target.Close()
		others.Wait()
	})
}
