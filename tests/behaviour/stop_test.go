package behaviour

import (
	"syscall"
	"testing"
	"time"

	"tcp-proxy/tests/harness"
)

// listenerCloses waits until nobody listens at the address.
func listenerCloses(t *testing.T, address string) {
	t.Helper()
	harness.Eventually(t, "the listener is closed", func() bool { return !harness.Listening(t, address) })
}

func expectExit(t *testing.T, p *harness.Proxy) {
	t.Helper()
	if code := p.Wait(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

func TestStopWithoutSessions(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
			r := harness.New(t, engine)
			p := r.Start(harness.Config{DrainTimeout: "1h", Apps: []harness.App{{Targets: harness.To(r.Echo())}}})
			client := p.Dial()
			client.Send([]byte("hello"))
			client.Expect([]byte("hello"))
			end(p, client)
			p.Signal(signal)
			expectExit(t, p)
		}
	})
}

// A session that is open when the proxy stops may finish, with all its bytes; the proxy leaves when it has.
func TestStopLetsSessionsFinish(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		for _, tr := range transports {
			t.Run(tr.String(), func(t *testing.T) {
				t.Parallel()
				r := harness.New(t, engine)
				target := r.ListenAt(address(r, tr.target, "target.sock"))
				p := r.Start(harness.Config{DrainTimeout: "1h", Apps: []harness.App{{
					Ports: []any{address(r, tr.port, "port.sock")}, Targets: harness.To(target),
				}}})
				client, server := p.Session(target)
				client.Exchange(server, harness.Bytes(1, 100))
				p.Signal(syscall.SIGTERM)
				listenerCloses(t, p.Address())
				if err := bothWays(client, server, 3<<20+1, 2<<20+1, []int{9999}, []int{77777}); err != nil {
					t.Fatal(err)
				}
				expectExit(t, p)
				records := p.RecordsNow()
				last := records[len(records)-1]
				if last.BytesUp != 100+3<<20+1 && last.BytesUp != 3<<20+101 || last.Cause != "client_closed" && last.Cause != "target_closed" {
					t.Errorf("record %+v", last)
				}
			})
		}
	})
}

// Sessions that are still open after drain_timeout are reset, never closed in order. Their cause says whether they had
// time to finish: drained, or stopped if drain_timeout is 0.
func TestStopEndsTheRest(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		for drain, cause := range map[string]string{"0s": "stopped", "700ms": "drained"} {
			t.Run(drain, func(t *testing.T) {
				t.Parallel()
				r := harness.New(t, engine)
				target := r.Listen()
				p := r.Start(harness.Config{DrainTimeout: drain, Apps: []harness.App{{Targets: harness.To(target)}}})
				idle, idleServer := p.Session(target)
				idle.Exchange(idleServer, harness.Bytes(1, 100))
				half, halfServer := p.Session(target)
				half.CloseWrite()
				halfServer.ExpectEOF()
				stalled, stalledServer := p.Session(target)
				stalled.Fill(harness.NewPattern(1))

				p.Signal(syscall.SIGTERM)
				idle.ExpectReset()
				idleServer.ExpectReset()
				half.ExpectReset()
				halfServer.AwaitReset()
				stalled.AwaitReset()
				stalledServer.AwaitReset()
				expectExit(t, p)
				for _, client := range []*harness.Conn{idle, half, stalled} {
					record := p.ExpectCause(client, cause)
					if drain == "700ms" && record.DurationUsec < 700_000 {
						t.Errorf("ended after %d µs, before the drain time-out", record.DurationUsec)
					}
				}
			})
		}
	})
}

// A second SIGINT ends sessions before drain_timeout, so their cause is stopped, not drained.
func TestSecondInterruptCutsTheWaitShort(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Listen()
		p := r.Start(harness.Config{DrainTimeout: "1h", Apps: []harness.App{{Targets: harness.To(target)}}})
		client, server := p.Session(target)
		client.Exchange(server, harness.Bytes(1, 100))
		p.Signal(syscall.SIGINT)
		listenerCloses(t, p.Address())
		client.Exchange(server, harness.Bytes(2, 100))
		p.Signal(syscall.SIGINT)
		client.ExpectReset()
		server.ExpectReset()
		expectExit(t, p)
		p.ExpectCause(client, "stopped")
	})
}

// A session whose target is still being connected does not hold up the end.
func TestStopWhileConnecting(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		p := r.StartApp(harness.App{Targets: []any{r.Blackhole()}, ConnectTimeout: "1h"})
		client := p.Dial()
		client.Send([]byte("hello"))
		harness.Eventually(t, "the session begins", func() bool {
			now, _ := p.Descriptors()
			return now >= p.DescriptorsAtReady()+2
		})
		p.Signal(syscall.SIGTERM)
		client.ExpectReset()
		expectExit(t, p)
		p.ExpectCause(client, "stopped")
	})
}

// Clients that wait for a worker learn at once that nobody will come.
func TestStopWhilePoolIsFull(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Listen()
		p := r.Start(harness.Config{MaxWorkers: 1, DrainTimeout: "1h", Apps: []harness.App{{Targets: harness.To(target)}}})
		client, server := p.Session(target)
		client.Exchange(server, harness.Bytes(1, 100))
		waiting := p.Dial()
		harness.Eventually(t, "the warning that the pool is full", func() bool { return p.Log.Count(full) == 1 })
		p.Signal(syscall.SIGTERM)
		waiting.ExpectReset()
		client.Exchange(server, harness.Bytes(1, 100))
		client.Close()
		server.Close()
		expectExit(t, p)
		if n := target.Accepted(); n != 1 {
			t.Errorf("%d connections came to the target, want 1", n)
		}
	})
}

// Clients keep coming while the proxy stops: each is served or refused, and the process leaves.
func TestStopUnderLoad(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		p := r.Start(harness.Config{DrainTimeout: "10s", Apps: []harness.App{{Targets: harness.To(r.Identify("here"))}}})
		stop, done := make(chan struct{}), make(chan int)
		for range 4 {
			go func() {
				served := 0
				for {
					select {
					case <-stop:
						done <- served
						return
					default:
					}
					if name, err := r.Ask(p.Address()); err == nil && name == "here" {
						served++
					} else if err == nil {
						t.Errorf("the target said %q", name)
					}
				}
			}()
		}
		harness.Eventually(t, "some sessions", func() bool { return len(p.RecordsNow()) > 50 })
		p.Signal(syscall.SIGTERM)
		expectExit(t, p)
		close(stop)
		served := 0
		for range 4 {
			served += <-done
		}
		records := p.RecordsNow()
		if len(records) < served {
			t.Errorf("%d sessions were served, %d have a record", served, len(records))
		}
		for _, record := range records {
			if record.Cause == "internal" {
				t.Errorf("record %+v", record)
			}
		}
	})
}

// The listener is gone at once, not when the last session is.
func TestStopClosesListenersFirst(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Listen()
		config := harness.Config{DrainTimeout: "1h", Apps: []harness.App{{
			Ports: []any{r.Address()}, Targets: harness.To(target),
		}}}
		old := r.Start(config)
		client, server := old.Session(target)
		client.Exchange(server, harness.Bytes(1, 100))
		old.Signal(syscall.SIGTERM)
		listenerCloses(t, old.Address())
		// The next process can listen on the same port while the old one still serves.
		next := r.Start(config)
		newClient, newServer := next.Session(target)
		newClient.Exchange(newServer, harness.Bytes(2, 100))
		client.Exchange(server, harness.Bytes(3, 100))
		client.Close()
		server.Close()
		begin := time.Now()
		expectExit(t, old)
		if took := time.Since(begin); took > harness.Timeout/2 {
			t.Errorf("%v from the end of the last session to the end of the process", took)
		}
	})
}
