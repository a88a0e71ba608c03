package admin

import (
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"tcp-proxy/tests/harness"
)

// A tally is what the clients of an app have counted.
type tally struct {
	sent, received atomic.Int64
	clean, resets  atomic.Int64
}

// The figures are those that the clients have counted: bytes each way, sessions by cause, by target and open.
func TestFiguresAgainstClients(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		const clients, rounds = 8, 25
		r := harness.New(t, engine)
		one, two := r.Echo(), r.Echo()
		dead := r.Refuse()
		s := see(r, harness.Config{MaxWorkers: 100, Apps: []harness.App{
			{Name: "echo", Targets: harness.To(one, two)},
			{Name: "broken", Targets: []any{dead}, RetryDeadAfter: "1h"},
		}})
		var counted tally
		var broken atomic.Int64
		var all sync.WaitGroup
		for i := range clients {
			all.Go(func() {
				random := rand.New(rand.NewPCG(1, uint64(i)))
				for range rounds {
					counted.visit(t, r, s.AddressOf(0), random)
				}
				c, err := r.TryDial(s.AddressOf(1))
				if err == nil {
					_, err = c.Read(make([]byte, 1)) // the reset
					c.Close()
				}
				if err == nil {
					t.Error("a client of the broken app got an answer")
				}
				broken.Add(1)
			})
		}
		all.Wait()
		if t.Failed() {
			return
		}

		// One that is open: what it moved is there before it ends.
		open := r.Dial(s.AddressOf(0))
		open.Send(harness.Bytes(7, 100_000))
		open.Expect(harness.Bytes(7, 100_000))
		sent, received := counted.sent.Load()+100_000, counted.received.Load()+100_000
		var got app
		harness.Eventually(t, "the figures are those of the clients", func() bool {
			got = s.app("echo")
			ended := uint64(0)
			for _, n := range got.Ended {
				ended += n
			}
			// What a client has sent before its reset may never have been read.
			return got.Active == 1 && ended == clients*rounds && got.Download >= received && got.Upload >= sent
		})
		t.Logf("sent %d received %d resets %d: %+v", sent, received, counted.resets.Load(), got)
		if resets := uint64(counted.resets.Load()); got.Ended["client_reset"] != resets || got.Ended["client_closed"] != clients*rounds-resets {
			t.Errorf("causes %v, want %d client_reset and %d client_closed", got.Ended, resets, clients*rounds-resets)
		}
		if counted.resets.Load() == 0 || got.Upload != sent || got.Download != received {
			t.Errorf("%d bytes up and %d down, the clients have counted %d and %d, with %d resets",
				got.Upload, got.Download, sent, received, counted.resets.Load())
		}
		for i, accepted := range []int{one.Accepted(), two.Accepted()} {
			if total := got.Targets[i].Sessions; total != uint64(accepted) {
				t.Errorf("target %d: %d sessions, it has accepted %d", i, total, accepted)
			}
		}
		if active := got.Targets[0].Active + got.Targets[1].Active; active != 1 {
			t.Errorf("targets have %d sessions, want 1", active)
		}
		harness.Eventually(t, "the sessions of the broken app are counted", func() bool {
			return s.app("broken").Ended["connect_failed"] == uint64(broken.Load())
		})
		b := s.app("broken")
		if b.Upload != 0 || b.Download != 0 || b.Targets[0].State != "dead" || b.Targets[0].Failures["refused"] != uint64(broken.Load()) {
			t.Errorf("the broken app: %+v, after %d clients", b, broken.Load())
		}

		var m scrape
		harness.Eventually(t, "the metrics are those of now", func() bool {
			m = s.scrape()
			return m.of("sessions_total", "app", "broken", "cause", "connect_failed") == float64(broken.Load())
		})
		for _, c := range []struct {
			name   string
			labels []string
			want   int64
		}{
			{"sessions_active", []string{"app", "echo"}, 1},
			{"sessions_active", []string{"app", "broken"}, 0},
			{"sessions_total", []string{"app", "echo", "cause", "client_reset"}, counted.resets.Load()},
			{"sessions_total", []string{"app", "echo", "cause", "client_closed"}, clients*rounds - counted.resets.Load()},
			{"sessions_total", []string{"app", "echo", "cause", "internal"}, 0},
			{"bytes_total", []string{"app", "echo", "direction", "upload"}, sent},
			{"bytes_total", []string{"app", "echo", "direction", "download"}, received},
			{"bytes_total", []string{"app", "broken", "direction", "upload"}, 0},
			{"target_sessions_total", []string{"app", "echo", "target", one.Address}, int64(one.Accepted())},
			{"target_sessions_total", []string{"app", "echo", "target", two.Address}, int64(two.Accepted())},
			{"target_sessions_total", []string{"app", "broken", "target", dead}, 0},
			{"target_up", []string{"app", "echo", "target", one.Address}, 1},
			{"target_up", []string{"app", "broken", "target", dead}, 0},
			{"target_disabled", []string{"app", "broken", "target", dead}, 0},
			{"target_connect_errors_total", []string{"app", "broken", "target", dead, "reason", "refused"}, broken.Load()},
			{"connect_seconds_count", []string{"app", "echo"}, clients * rounds},
			{"session_seconds_count", []string{"app", "echo"}, clients * rounds},
			{"session_seconds_count", []string{"app", "broken"}, broken.Load()},
			{"connect_seconds_count", []string{"app", "broken"}, 0},
			{"workers_busy", nil, 1},
			{"workers_max", nil, 100},
			{"engine_info", []string{"engine", engine}, 1},
			{"stage", []string{"stage", "serving"}, 1},
			{"reloads_total", []string{"result", "succeeded"}, 1},
			{"last_reload_successful", nil, 1},
		} {
			if got := m.of(c.name, c.labels...); got != float64(c.want) {
				t.Errorf("%s of %v is %g, want %d", c.name, c.labels, got, c.want)
			}
		}
	})
}

// visit is one session: it sends some and reads it back, and then finishes, or resets when all is back.
func (counted *tally) visit(t *testing.T, r *harness.Rig, address string, random *rand.Rand) {
	c, err := r.TryDial(address)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	size := 1 + random.IntN(200_000)
	data := harness.Bytes(random.Uint64(), size)
	var sending sync.WaitGroup
	sending.Go(func() {
		if _, err := c.Write(data); err != nil {
			t.Errorf("send: %v", err)
		}
	})
	if _, err := io.ReadFull(c, make([]byte, size)); err != nil {
		t.Errorf("receive: %v", err)
	}
	sending.Wait()
	counted.sent.Add(int64(size))
	counted.received.Add(int64(size))
	if random.IntN(4) == 0 {
		counted.resets.Add(1)
		if err := c.Break(); err != nil {
			t.Error(err)
		}
		return
	}
	counted.clean.Add(1)
	if err := c.Finish(); err != nil {
		t.Error(err)
	}
	if n, err := io.Copy(io.Discard, c); n != 0 || err != nil {
		t.Errorf("after all %d bytes and %v", n, err)
	}
}
