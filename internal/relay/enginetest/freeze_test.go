package enginetest

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/config"
	"tcp-proxy/internal/meter"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/relay/loop"
	"tcp-proxy/internal/testkit"
	"tcp-proxy/internal/upstream"
)

// movable is the engine loop, whose sessions go on in a new engine when a test calls move.
var movable = engine{name: "movable", perSession: loop.DescriptorsPerSession, start: func(w *admit.Workers, e relay.Events) (relay.Engine, error) {
	return newRestless(w, e)
}}

// eachMovable runs a test with a movable engine and every pair of sockets, or all TCP, in a process of its own.
func eachMovable(t *testing.T, change func(*relay.Route), test func(*rig), pairs ...[2]string) {
	testkit.Apart(t, func(t *testing.T) {
		for _, x := range pairs {
			t.Run(x[0]+" to "+x[1], func(t *testing.T) { test(newRig(t, movable, x[0], x[1], change)) })
		}
	})
}

var onlyTCP = [][2]string{{"tcp", "tcp"}}

// move has all sessions go on in a new engine with that many loops.
func (r *rig) move(loops int) {
	r.Helper()
	if err := r.engine.(*restless).move(loops); err != nil {
		r.Fatal(err)
	}
}

// moveInspected is move, and shows what was frozen before it is adopted.
func (r *rig) moveInspected(inspect func(*loop.Frozen)) loop.Adopted {
	r.Helper()
	x := r.engine.(*restless)
	x.mu.Lock()
	defer x.mu.Unlock()
	f, err := x.now.Freeze()
	if err != nil {
		r.Fatal(err)
	}
	inspect(f)
	a, err := x.adopt(2, f)
	if err != nil {
		r.Fatal(err)
	}
	return a
}

// moveUntilEnd moves every few milliseconds until a session has ended.
func (r *rig) moveUntilEnd() {
	r.Helper()
	testkit.Eventually(r.T, "a session ends", func() bool {
		r.move(1 + rand.IntN(3))
		return len(r.ended) > 0
	})
}

// An engine that was frozen holds nothing, and another one with all that it held is as it was: sessions, their IDs and ages, the
// port, workers, slots.
func TestFreezeGivesAllBack(t *testing.T) {
	eachMovable(t, nil, func(r *rig) {
		bytes := meter.NewApp()
		changed := *r.port.Route.Load()
		changed.Meter = bytes
		r.port.Route.Store(&changed)
		r.limit(admit.Policy{MaxSessions: 10, MaxSessionsPerSource: 10})
		gate := r.port.Route.Load().Gate
		client, server := r.session()
		r.move(2)
		others := testkit.CountDescriptors(r.T, "[eventpoll]", "[eventfd]", "pipe") - 2*2 // which are no loop's
		r.exchange(client, server, 100_000)
		before := r.only(relay.Established)
		loops := testkit.CountDescriptors(r.T, "[eventpoll]", "[eventfd]", "pipe")
		held := testkit.CountDescriptors(r.T)
		r.moveInspected(func(f *loop.Frozen) {
			e := r.engine.(*restless).now
			if len(f.Sessions) != 1 || len(f.Ports) != 1 {
				r.Errorf("%d sessions and %d ports", len(f.Sessions), len(f.Ports))
			}
			if n := testkit.CountDescriptors(r.T, "[eventpoll]", "[eventfd]", "pipe"); n != others {
				r.Errorf("%d descriptors of loops are left", n-others)
			}
			if n := testkit.CountDescriptors(r.T); n != held-(loops-others) {
				r.Errorf("%d descriptors, of %d of which the loops had %d", n, held, loops-others)
			}
			stacks := make([]byte, 1<<20)
			text := func() any { return string(stacks[:runtime.Stack(stacks, true)]) }
			testkit.Eventually(r.T, "no loop has a goroutine", func() bool { return !strings.Contains(text().(string), "relay/loop.(*loop).run") }, text)
			if r.workers.Busy() != 0 || gate.Open() != 0 || gate.Sources() != 0 || r.targets()[0].Sessions() != 0 {
				r.Errorf("%d workers, %d clients of %d sources, %d sessions of the target", r.workers.Busy(), gate.Open(), gate.Sources(), r.targets()[0].Sessions())
			}
			if up, _ := bytes.Bytes(); up != 100_000 || bytes.Active() != 1 {
				r.Errorf("%d bytes and %d sessions are counted", up, bytes.Active())
			}
			if err := errors.Join(e.Wait(context.Background()), e.Alive(context.Background()), e.Stop()); err != nil {
				r.Error(err)
			}
			if again, err := e.Freeze(); err == nil || len(again.Sessions) != 0 {
				r.Errorf("frozen again: %v, %v", again, err)
			}
			if _, err := e.Adopt(f); err == nil || len(f.Sessions) != 1 {
				r.Errorf("a frozen engine adopts: %v", err)
			}
		})
		after := r.only(relay.Established)
		before.Begun, after.Begun = before.Begun.Truncate(time.Minute), after.Begun.Truncate(time.Minute)
		before.Moved, after.Moved = before.Moved.Truncate(time.Minute), after.Moved.Truncate(time.Minute)
		if before.ID != after.ID || before.Route != after.Route || before.Port != after.Port || before.Target != after.Target ||
			before.Client != after.Client || before.Upload != after.Upload {
			r.Errorf("%+v, was %+v", after, before)
		}
		if r.workers.Busy() != 1 || gate.Open() != 1 || r.targets()[0].Sessions() != 1 {
			r.Errorf("%d workers, %d clients, %d sessions of the target", r.workers.Busy(), gate.Open(), r.targets()[0].Sessions())
		}
		second, itsServer := r.session()
		r.exchange(second, itsServer, 1000)
		r.exchange(server, client, 1000)
		if first := r.finish(client, server); first.ID != before.ID || first.Upload != 100_000 || first.Download != 1000 {
			r.Errorf("%+v", first)
		}
		if rec := r.finish(second, itsServer); rec.ID <= before.ID {
			r.Errorf("a later session has the ID %d, an earlier one %d", rec.ID, before.ID)
		}
		if up, down := bytes.Bytes(); up != 101_000 || down != 1000 || bytes.Active() != 0 {
			r.Errorf("%d and %d bytes and %d sessions are counted", up, down, bytes.Active())
		}
	}, transports...)
}

// No byte is lost or wrong, and no client is refused, however often and whenever the sessions go on in another engine with more
// loops or fewer.
func TestMovesUnderLoad(t *testing.T) {
	const moves, streams, size = 100, 4, 8 << 20
	eachMovable(t, nil, func(r *rig) {
		var busy sync.WaitGroup
		for seed := range byte(streams) {
			client, server := r.session()
			busy.Go(func() {
				each := 1 + rand.IntN(200_000)
				for range 2 {
					up := func() error {
						return both(func() error { return send(client, seed, size, each) }, func() error { return receive(server, seed, size) })
					}
					down := func() error {
						return both(func() error { return send(server, seed, size, each) }, func() error { return receive(client, seed, size) })
					}
					if err := both(up, down); err != nil {
						r.Errorf("stream %d: %v", seed, err)
					}
				}
				client.CloseWrite()
				r.expectEOF(server)
				server.CloseWrite()
				r.expectEOF(client)
			})
		}
		testkit.ServeOn(r.T, r.target, answer)
		over := make(chan struct{})
		var asking sync.WaitGroup
		asking.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				if err := ask(r.port.Listener.Addr(), clientFirst); err != nil {
					r.Error(err)
					return
				}
				<-r.ended
			}
		})
		for i := range moves {
			time.Sleep(time.Duration(rand.IntN(int(3 * time.Millisecond))))
			r.move(1 + i%3)
		}
		close(over)
		asking.Wait()
		busy.Wait()
	}, transports...)
}

// A session that a side has finished goes on as such, whichever side it was.
func TestMovesHalfClosed(t *testing.T) {
	eachMovable(t, nil, func(r *rig) {
		for _, first := range []relay.Cause{relay.ClientClosed, relay.TargetClosed} {
			client, server := r.session()
			from, to := client, server
			if first == relay.TargetClosed {
				from, to = server, client
			}
			r.exchange(from, to, 1000)
			from.CloseWrite()
			r.expectEOF(to)
			r.only(relay.HalfClosed)
			r.move(3)
			r.only(relay.HalfClosed)
			r.exchange(to, from, 300_000)
			r.move(1)
			to.CloseWrite()
			r.expectEOF(from)
			r.expectCause(first)
		}
	}, transports...)
}

// What a receiver that stands still has not taken goes along, with the end behind it, and is whole.
func TestMovesBackPressured(t *testing.T) {
	const size = 24 << 20
	eachMovable(t, nil, func(r *rig) {
		client, server := r.session()
		sent := make(chan error, 1)
		go func() {
			err := send(client, 1, size, 1<<20)
			client.CloseWrite()
			sent <- err
		}()
		pending := 0
		// What a flow holds depends on who is faster.
		testkit.Eventually(r.T, "bytes are pending", func() bool {
			r.moveInspected(func(f *loop.Frozen) { pending = len(f.Sessions[0].Flow[0].Pending) })
			return pending > 0
		})
		if err := receive(server, 1, size/2); err != nil {
			r.Fatal(err)
		}
		r.move(3)
		rest := pattern(1)
		rest.Read(make([]byte, size/2))
		want, got := make([]byte, size/2), make([]byte, size/2)
		rest.Read(want)
		if _, err := io.ReadFull(server, got); err != nil || !slices.Equal(got, want) {
			r.Fatalf("other bytes than were sent, or %v", err)
		}
		r.expectEOF(server)
		if err := <-sent; err != nil {
			r.Fatal(err)
		}
		server.CloseWrite()
		r.expectEOF(client)
		if rec := r.expectCause(relay.ClientClosed); rec.Upload != size {
			r.Errorf("%+v", rec)
		}
	}, transports...)
}

// Time-outs go on where they were: sessions end though they go on in another engine all the time.
func TestMovesKeepTimeouts(t *testing.T) {
	const limit = 300 * time.Millisecond
	causes := map[relay.Cause]func(*relay.Route){
		relay.IdleTimeout:      func(r *relay.Route) { r.IdleTimeout = limit },
		relay.HalfCloseTimeout: func(r *relay.Route) { r.HalfCloseTimeout = limit },
		relay.MaxDuration:      func(r *relay.Route) { r.MaxDuration = limit },
		relay.ProxyHeader:      func(r *relay.Route) { r.ProxyFrom, r.ProxyTimeout = anywhere, limit },
		relay.Limited:          nil,
	}
	eachMovable(t, nil, func(r *rig) {
		for cause, change := range causes {
			r.setRoute(change, addressOf(r.target))
			end := func() {}
			switch cause {
			case relay.ProxyHeader:
				r.dial()
				r.only(relay.AwaitsHeader)
			case relay.Limited:
				r.narrow(limit)
				client, server := r.session()
				r.dial()
				testkit.Eventually(r.T, "it waits", func() bool { return r.waiting() == 1 })
				end = func() { r.finish(client, server) }
			default:
				client, server := r.session()
				if cause == relay.HalfCloseTimeout {
					server.CloseWrite()
					r.expectEOF(client)
				}
			}
			r.moveUntilEnd()
			if rec := r.expectCause(cause); rec.Duration < limit*9/10 {
				r.Errorf("%+v", rec)
			}
			end()
		}
	}, onlyTCP...)
}

// waiting is how many sessions wait for a slot.
func (r *rig) waiting() int {
	return r.sessions(1, func(s *relay.OpenSession) bool { return s.Progress == relay.AwaitsSlot }).Matching
}

// A PROXY header that has begun is read to its end, and what it says goes along.
func TestMovesInAHeader(t *testing.T) {
	eachMovable(t, func(r *relay.Route) { r.ProxyFrom, r.SendProxy = anywhere, 1 }, func(r *rig) {
		for _, version := range []int{1, 2} {
			text := greeting(version)
			client := r.dial()
			io.WriteString(client, text[:len(text)/2])
			testkit.Eventually(r.T, "half of it is read", func() (read bool) {
				r.moveInspected(func(f *loop.Frozen) { read = len(f.Sessions) == 1 && len(f.Sessions[0].Header) == len(text)/2 })
				return read
			})
			io.WriteString(client, text[len(text)/2:]+"behind")
			server := r.accept()
			r.hear(server, greeting(1)+"behind")
			r.move(3)
			r.exchange(client, server, 1000)
			if rec := r.finish(client, server); rec.Client != theirs.String() || rec.Peer != nameOf(client) {
				r.Errorf("%+v", rec)
			}
		}
	}, transports...)
}

// Sessions that wait for a slot keep their order, and none gets the slot of one that is connected.
func TestMovesWhileWaitingForASlot(t *testing.T) {
	eachMovable(t, nil, func(r *rig) {
		x := r.narrow(testkit.Timeout)
		client, server := r.session()
		var clients []stream
		for i := range 6 {
			clients = append(clients, r.dial())
			testkit.Eventually(r.T, "it waits", func() bool { return r.waiting() == i+1 })
			r.move(1 + i%3)
		}
		for i, next := range clients {
			r.move(1 + i%3)
			testkit.Eventually(r.T, "all others wait", func() bool { return r.waiting() == len(clients)-i })
			if n := x.Sessions(); n != 1 {
				r.Errorf("the target has %d sessions", n)
			}
			r.finish(client, server)
			client, server = next, r.accept()
			r.exchange(client, server, 100)
		}
		r.finish(client, server)
	}, onlyTCP...)
}

// A session that connects, to one target or to two, connects anew, and has what its client has sent by then.
func TestMovesWhileConnecting(t *testing.T) {
	eachMovable(t, nil, func(r *rig) {
		for _, racing := range []bool{false, true} {
			four, six := testkit.NewBlackhole(r.T, "127.0.0.1:0"), testkit.NewBlackhole(r.T, "[::1]:0")
			addresses := []*testkit.Blackhole{four}
			targets := r.named(testkit.Timeout, four.Addr)
			if racing {
				targets = r.named(testkit.Timeout, four.Addr, six.Addr)
				addresses = append(addresses, six)
			}
			release := r.take()
			client := r.dial()
			if err := send(client, 1, 1000, 1000); err != nil {
				r.Fatal(err)
			}
			release()
			connecting := func() bool {
				return !slices.ContainsFunc(targets, func(x *upstream.Target) bool { return x.Sessions() != 1 })
			}
			testkit.Eventually(r.T, "it connects", connecting)
			for i := range 5 {
				r.moveInspected(func(f *loop.Frozen) {
					if n := len(f.Sessions[0].Flow[0].Pending); n != 1000 || f.Sessions[0].Side[1].FD != -1 {
						r.Errorf("%d bytes are pending; the target's socket is %d", n, f.Sessions[0].Side[1].FD)
					}
					for _, x := range targets {
						if x.Sessions() != 0 || x.State() != upstream.Alive {
							r.Errorf("%s has %d sessions and is %s", x.Name, x.Sessions(), x.State())
						}
					}
				})
				if i == 0 {
					testkit.Eventually(r.T, "it connects again", connecting)
				}
			}
			testkit.Eventually(r.T, "it connects again", connecting)
			server := r.adopt(addresses[len(addresses)-1].Open())
			if err := receive(server, 1, 1000); err != nil {
				r.Fatal(err)
			}
			r.move(1)
			r.exchange(server, client, 1000)
			if rec := r.finish(client, server); rec.Attempts != len(addresses) || rec.Upload != 1000 {
				r.Errorf("%+v", rec)
			}
			r.expectLeft(targets, true, true)
		}
	}, onlyTCP...)
}

// Targets that have failed are not tried again by a session that goes on in another engine.
func TestMovesKeepAttempts(t *testing.T) {
	eachMovable(t, func(r *relay.Route) {}, func(r *rig) {
		hole := testkit.NewBlackhole(r.T, "127.0.0.1:0")
		set := upstream.NewSet([]config.Target{{Address: dead, Weight: 1}, {Address: addressAt(hole.Addr), Weight: 1}},
			upstream.Policy{Retry: time.Hour, Balance: config.BalanceFirst}, nil)
		r.setRoute(func(route *relay.Route) { route.Targets, route.ConnectAttempts = set, 2 })
		client := r.dial()
		testkit.Eventually(r.T, "it connects", func() bool { return set.All()[1].Sessions() == 1 })
		r.move(1)
		testkit.Eventually(r.T, "it connects again", func() bool { return set.All()[1].Sessions() == 1 })
		server := r.adopt(hole.Open())
		r.move(2)
		r.exchange(client, server, 100)
		if rec := r.finish(client, server); rec.Attempts != 2 {
			r.Errorf("%+v", rec)
		}
	}, onlyTCP...)
}

// Limits hold for those who come later: who was there goes on though there is no room for him any more.
func TestMovesBeyondLimits(t *testing.T) {
	eachMovable(t, nil, func(r *rig) {
		set := upstream.NewSet([]config.Target{{Address: addressOf(r.target), Weight: 1, MaxSessions: 3}}, upstream.Policy{Retry: time.Hour}, nil)
		r.setRoute(func(route *relay.Route) {
			route.Targets, route.Gate = set, admit.NewGate(admit.Policy{MaxSessions: 3, MaxSessionsPerSource: 3, SessionsPerSecond: 1000}, nil)
		})
		var open [][2]stream
		for range 3 {
			client, server := r.session()
			open = append(open, [2]stream{client, server})
		}
		testkit.Eventually(r.T, "all are open", func() bool { return r.sessions(1, nil).Open == 3 })
		r.workers.Resize(2)
		for range 5 {
			r.move(2)
			if r.workers.Busy() != 3 || set.All()[0].Sessions() != 3 || r.port.Route.Load().Gate.Open() != 3 {
				r.Errorf("%d workers, %d sessions, %d clients", r.workers.Busy(), set.All()[0].Sessions(), r.port.Route.Load().Gate.Open())
			}
		}
		late := r.dial()
		r.alone(20 * time.Millisecond)
		r.workers.Resize(10)
		r.expectReset(late) // by the gate
		r.expectCause(relay.Limited)
		for _, x := range open {
			r.exchange(x[0], x[1], 1000)
			r.finish(x[0], x[1])
		}
		r.finish(r.session())
	}, onlyTCP...)
}

// A session whose socket is lost is reset on both sides, counted and reported. The others go on.
func TestMovesWithoutASocket(t *testing.T) {
	eachMovable(t, nil, func(r *rig) {
		for lost := range 2 {
			client, server := r.session()
			r.exchange(client, server, 10)
			other, otherServer := r.session()
			r.exchange(other, otherServer, 10)
			port := addrPort(client.LocalAddr()).Port()
			a := r.moveInspected(func(f *loop.Frozen) {
				i := slices.IndexFunc(f.Sessions, func(s loop.FrozenSession) bool { return s.Peer.Port() == port })
				x := &f.Sessions[i].Side[lost]
				unix.SetsockoptLinger(x.FD, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
				unix.Close(x.FD)
				x.FD = -1
			})
			if a.Sessions != 1 || len(a.Lost) != 1 || a.Lost[loop.LostDescriptor] != 1 {
				r.Errorf("%+v", a)
			}
			r.expectReset(client)
			r.expectReset(server)
			if rec := r.expectCause(relay.Internal); !errors.Is(rec.Err, unix.EBADF) {
				r.Errorf("%+v", rec)
			}
			r.exchange(other, otherServer, 1000)
			r.finish(other, otherServer)
		}
	}, onlyTCP...)
}

// Adoption needs no descriptor but those of the engine, whatever the session does: pending bytes do not go back to a pipe.
func TestMovesWithoutDescriptors(t *testing.T) {
	const size = 16 << 20
	eachMovable(t, nil, func(r *rig) {
		client, server := r.session()
		sent := make(chan error, 1)
		go func() { sent <- send(client, 1, size, 1<<20) }()
		pending := 0
		testkit.Eventually(r.T, "bytes are pending", func() bool {
			r.moveInspected(func(f *loop.Frozen) { pending = len(f.Sessions[0].Flow[0].Pending) })
			return pending > 0
		})
		var limit unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			r.Fatal(err)
		}
		x := r.engine.(*restless)
		x.mu.Lock()
		f, err := x.now.Freeze()
		if err != nil {
			r.Fatal(err)
		}
		next, err := loop.NewWithLoops(2, x.workers, x.events)
		if err != nil {
			r.Fatal(err)
		}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: limit.Max}); err != nil {
			r.Fatal(err)
		}
		a, err := next.Adopt(f)
		x.now = next
		x.mu.Unlock()
		if err != nil || a.Sessions != 1 || len(a.Lost) > 0 {
			r.Errorf("%+v, %v", a, err)
		}
		if err := receive(server, 1, size); err != nil {
			r.Error(err)
		}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			r.Fatal(err)
		}
		if err := <-sent; err != nil {
			r.Error(err)
		}
		r.finish(client, server)
	}, onlyTCP...)
}

// A side that has reset while nobody looked has reset for the new engine: the other side is reset, too, and no stream ends in
// good order that was cut.
func TestMovesThenReset(t *testing.T) {
	eachMovable(t, nil, func(r *rig) {
		for _, cause := range []relay.Cause{relay.ClientReset, relay.TargetReset} {
			client, server := r.session()
			r.exchange(client, server, 10)
			r.moveInspected(func(*loop.Frozen) {
				if cause == relay.ClientReset {
					testkit.Reset(client)
				} else {
					testkit.Reset(server)
				}
			})
			if cause == relay.ClientReset {
				r.expectReset(server)
			} else {
				r.expectReset(client)
			}
			r.expectCause(cause)
		}
	}, onlyTCP...)
}

// A side of which the engine knows that it is broken stays broken, though the kernel reports it only once: what looks like its end
// is none.
func TestMovesABrokenSide(t *testing.T) {
	eachMovable(t, nil, func(r *rig) {
		for side, cause := range []relay.Cause{relay.ClientReset, relay.TargetReset} {
			client, server := r.session()
			r.exchange(client, server, 10)
			r.exchange(server, client, 10)
			r.moveInspected(func(f *loop.Frozen) {
				if side == 0 {
					client.CloseWrite()
				} else {
					server.CloseWrite()
				}
				f.Sessions[0].Side[side].Broken = true
			})
			r.expectReset(client)
			r.expectReset(server)
			r.expectCause(cause)
		}
	}, onlyTCP...)
}

// A side that has sent urgent data is known as one for good: nothing tells so after that was read.
func TestMovesAnUrgentSide(t *testing.T) {
	eachMovable(t, nil, func(r *rig) {
		client, server := r.session()
		r.say(client, "a!b")
		r.hear(server, "a!b")
		for range 3 {
			r.moveInspected(func(f *loop.Frozen) {
				if s := f.Sessions[0]; !s.Side[0].Urgent || s.Side[1].Urgent {
					r.Errorf("%+v", s.Side)
				}
			})
		}
		r.exchange(client, server, 300_000)
		r.finish(client, server)
	}, onlyTCP...)
}

// Connections that come while no engine accepts wait in the kernel, and are accepted by the next.
func TestMovesWithConnectionsThatWait(t *testing.T) {
	eachMovable(t, nil, func(r *rig) {
		var clients []net.Conn
		r.moveInspected(func(*loop.Frozen) {
			for range 10 {
				clients = append(clients, r.dial())
			}
		})
		for range clients {
			server := r.accept()
			server.CloseWrite()
		}
		for _, c := range clients {
			r.expectEOF(c.(stream))
			c.Close()
			r.expectCause(relay.TargetClosed)
		}
	}, [2]string{"tcp", "tcp"}, [2]string{"unix", "tcp"})
}

// A port that is taken out is not open any more, and its sessions go on.
func TestMovesWithoutAPort(t *testing.T) {
	eachMovable(t, nil, func(r *rig) {
		second := relay.NewPort("second", listen(r.T, "tcp"))
		second.Route.Store(r.port.Route.Load())
		if err := r.engine.Open(second); err != nil {
			r.Fatal(err)
		}
		client, err := net.Dial("tcp", second.Listener.Addr().String())
		if err != nil {
			r.Fatal(err)
		}
		server := r.accept()
		r.moveInspected(func(f *loop.Frozen) {
			i := slices.IndexFunc(f.Ports, func(p loop.FrozenPort) bool { return p.Port == second })
			unix.Close(f.Ports[i].FD)
			f.Ports = slices.Delete(f.Ports, i, i+1)
		})
		if c, err := net.Dial("tcp", second.Listener.Addr().String()); err == nil {
			c.Close()
			r.Error("the port is open")
		}
		r.exchange(r.adopt(client), server, 1000)
		if rec := r.finish(client.(stream), server); rec.Port != "second" {
			r.Errorf("%+v", rec)
		}
	}, onlyTCP...)
}

// A port whose socket is lost is an error that names it. Its sessions go on, and so do the other ports.
func TestMovesWithoutThePortsSocket(t *testing.T) {
	eachMovable(t, nil, func(r *rig) {
		client, server := r.session()
		lost := relay.NewPort("lost", listen(r.T, "tcp"))
		lost.Route.Store(r.port.Route.Load())
		if err := r.engine.Open(lost); err != nil {
			r.Fatal(err)
		}
		x := r.engine.(*restless)
		x.mu.Lock()
		f, err := x.now.Freeze()
		if err != nil {
			r.Fatal(err)
		}
		for i := range f.Ports {
			if p := &f.Ports[i]; p.Port == lost {
				unix.Close(p.FD)
				p.FD = -1
			}
		}
		a, err := x.adopt(3, f)
		x.mu.Unlock()
		if a.Sessions != 1 || !errors.Is(err, unix.EBADF) || !strings.Contains(err.Error(), "port lost") {
			r.Errorf("%+v, %v", a, err)
		}
		if err := r.engine.Close(lost); err == nil {
			r.Error("the port is open")
		}
		r.exchange(client, server, 1000)
		r.finish(client, server)
		r.finish(r.session())
	}, onlyTCP...)
}

// Nothing runs while sessions are frozen, and what is frozen says all that there is to say of them.
func TestWhatIsFrozen(t *testing.T) {
	eachMovable(t, func(r *relay.Route) { r.Upload = 1 << 20 }, func(r *rig) {
		client, server := r.session()
		r.exchange(client, server, 100_000)
		server.CloseWrite()
		r.expectEOF(client)
		before := r.only(relay.HalfClosed)
		r.moveInspected(func(f *loop.Frozen) {
			s := f.Sessions[0]
			var now unix.Timespec
			unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
			age := time.Duration(now.Nano() - s.Begun)
			if want := time.Since(before.Begun); age > want+time.Second || age < want-time.Second {
				r.Errorf("it is %v old by CLOCK_MONOTONIC, and %v by the engine", age, want)
			}
			if s.ID != before.ID || s.Target != before.Target || s.First != 2 || s.Finished != 2 || !s.Side[1].PassedOn || s.Side[0].Finished ||
				s.Flow[0].Moved != 100_000 || s.Flow[0].Pace.At == 0 || f.LastID < s.ID {
				r.Errorf("%+v", s)
			}
			if s.Side[0].Unix != (client.LocalAddr().Network() == "unix") || s.Peer != addrPort(client.LocalAddr()) {
				r.Errorf("%+v", s)
			}
		})
		client.CloseWrite()
		r.expectEOF(server)
		r.expectCause(relay.TargetClosed)
	}, transports...)
}

// A pool in which acceptors wait for a worker is taken along.
func TestMovesWhileThePoolIsFull(t *testing.T) {
	eachMovable(t, nil, func(r *rig) {
		r.workers.Resize(1)
		client, server := r.session()
		next := r.dial()
		for i := range 10 {
			r.move(1 + i%3)
			if n := r.workers.Busy(); n != 1 {
				r.Fatalf("%d workers are busy", n)
			}
		}
		r.alone(time.Millisecond)
		r.finish(client, server)
		other := r.accept()
		r.exchange(next, other, 100)
		r.finish(next, other)
	}, onlyTCP...)
}
