package behaviour

import (
	"net"
	"testing"
	"time"

	"tcp-proxy/tests/harness"
)

// When every target is full, a session waits for a place, and is refused when that takes longer than a connect may.
func TestWaitingForAFullTarget(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target, other := r.Listen(), r.Listen()
		full := func(target *harness.Target) []any {
			return []any{harness.TargetConfig{Address: target.Address, MaxSessions: 1}}
		}
		p := r.Start(harness.Config{Apps: []harness.App{
			{Name: "patient", Targets: full(target), ConnectTimeout: "1m", Probe: quiet},
			{Name: "hasty", Targets: full(other), ConnectTimeout: "100ms", Probe: quiet},
		}})
		holder, held := r.Dial(p.AddressOf(0)), target.Accept()
		waiter := r.Dial(p.AddressOf(0))
		waiter.Send([]byte("first"))
		p.Settle()
		if target.Accepted() != 1 {
			t.Fatal("the target has more sessions than it may have")
		}
		held.CloseWrite()
		end(p, holder)
		server := target.Accept()
		server.Expect([]byte("first"))
		server.Exchange(waiter, []byte("second"))
		server.CloseWrite()
		end(p, waiter)

		r.Dial(p.AddressOf(1))
		other.Accept()
		late := r.Dial(p.AddressOf(1))
		late.ExpectReset()
		record := p.ExpectCause(late, "limited")
		if record.DurationUsec < 100_000 || record.Attempts != 0 || other.Accepted() != 1 {
			t.Errorf("%+v", record)
		}
	})
}

// A session ends when it is as old as a session may be, whatever it does.
func TestMaxSessionDuration(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		p, lines := startLines(r, harness.App{MaxSessionDuration: "400ms", Probe: quiet})
		for _, l := range lines {
			begun := time.Now()
			client, server := l.session(r)
			for {
				if _, err := client.Write([]byte("x")); err != nil {
					break
				}
				if _, err := server.Read(make([]byte, 1)); err != nil {
					break
				}
				if time.Since(begun) > harness.Timeout {
					t.Fatal("the session goes on")
				}
				time.Sleep(5 * time.Millisecond)
			}
		}
		for _, record := range p.Records(len(lines)) {
			if record.Cause != "max_duration" || record.DurationUsec < 390_000 || record.BytesUp == 0 {
				t.Errorf("%+v", record)
			}
		}
	})
}

// Targets see connections come from the address that the app says.
func TestSourceAddress(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		source := r.AnotherHost()
		target := r.Listen()
		p := r.StartApp(harness.App{Targets: harness.To(target), SourceAddress: source, Probe: quiet})
		client, server := p.Session(target)
		if host, _, err := net.SplitHostPort(server.RemoteAddr().String()); err != nil || host != source {
			t.Errorf("the target sees %s, want %s", server.RemoteAddr(), source)
		}
		client.Exchange(server, harness.Bytes(1, 1000))
		server.CloseWrite()
		end(p, client)
	})
}
