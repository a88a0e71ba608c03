package behaviour

import (
	"testing"
	"time"

	"tcp-proxy/internal/testkit"
	"tcp-proxy/tests/harness"
)

// A flow has a first end that sends and a second that receives.
type flow struct {
	name     string
	from, to *harness.Conn
}

// trickle sends a byte over every flow ten times a second for that long, and expects it at the other end. If the
// machine held the test itself up for about the time-out that it is about, nothing can be learned from it.
func trickle(t *testing.T, flows []flow, length, timeout time.Duration) {
	t.Helper()
	last := time.Now()
	for until := last.Add(length); last.Before(until); {
		for _, f := range flows {
			if gap := time.Since(last); gap > timeout/2 {
				t.Skipf("the machine is too busy: no byte was sent for %v", gap)
			}
			f.from.Exchange(f.to, []byte{'.'})
		}
		last = time.Now()
		time.Sleep(100 * time.Millisecond)
	}
}

// ended wants the session to have been ended by the proxy: with a reset on TCP. A unix socket has none to give.
func ended(c *harness.Conn) {
	if c.LocalAddr().Network() == "unix" {
		c.ExpectEOF()
	} else {
		c.ExpectReset()
	}
}

func TestIdleTimeout(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		const timeout = time.Second
		r := harness.New(t, engine)
		p, lines := startLines(r, harness.App{IdleTimeout: timeout.String()})
		var ends []flow
		before := time.Now()
		for _, l := range lines {
			client, server := l.session(r)
			client.Exchange(server, harness.Bytes(1, 1000))
			before = time.Now()
			server.Exchange(client, harness.Bytes(2, 2000))
			ends = append(ends, flow{l.String(), client, server})
		}
		for _, f := range ends {
			ended(f.from)
			ended(f.to)
		}
		if idle := time.Since(before); idle < timeout {
			t.Errorf("ended after %v, want %v", idle, timeout)
		}
		for _, record := range p.Records(len(ends)) {
			if record.Cause != "idle_timeout" || record.BytesUp != 1000 || record.BytesDown != 2000 {
				t.Errorf("record %+v", record)
			}
		}
	})
}

func TestIdleFromTheBegin(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		p, target := transports[0].start(r, harness.App{IdleTimeout: "500ms"})
		client, server := p.Session(target)
		client.ExpectReset()
		server.ExpectReset()
		p.ExpectCause(client, "idle_timeout")
	})
}

// One byte now and then, in one direction only, keeps a session.
func TestTrickleIsNotIdle(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		const timeout = 2 * time.Second
		r := harness.New(t, engine)
		_, lines := startLines(r, harness.App{IdleTimeout: timeout.String()})
		var flows []flow
		for _, l := range lines {
			client, server := l.session(r)
			flows = append(flows, flow{l.String() + " up", client, server})
			client, server = l.session(r)
			flows = append(flows, flow{l.String() + " down", server, client})
		}
		trickle(t, flows, 5*time.Second, timeout)
		// The other direction has not died of it.
		for _, f := range flows {
			f.to.Exchange(f.from, harness.Bytes(1, 1000))
		}
	})
}

// A side that does not read, with every buffer full, is idle: no byte moves.
func TestStalledIsIdle(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		for _, up := range []string{"up", "down"} {
			t.Run(up, func(t *testing.T) {
				t.Parallel()
				r := harness.New(t, engine)
				p, target := transports[0].start(r, harness.App{IdleTimeout: "3s"})
				client, server := p.Session(target)
				from, to := client, server
				if up == "down" {
					from, to = server, client
				}
				from.Fill(harness.NewPattern(1))
				from.AwaitReset()
				to.AwaitReset()
				p.ExpectCause(client, "idle_timeout")
			})
		}
	})
}

// A reader that takes longer than the time-out for what is in the buffers is not idle: its bytes move all the time,
// though the proxy itself has nothing to do.
func TestSlowDrainIsNotIdle(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		const timeout = 2 * time.Second
		r := harness.New(t, engine)
		p, target := transports[0].start(r, harness.App{IdleTimeout: timeout.String()})
		client, server := p.Session(target)
		const total, parts = 1 << 20, 50
		sent := make(chan error, 1)
		go func() {
			sent <- harness.WritePattern(server, harness.NewPattern(1), total, harness.NewChunks(65536))
		}()
		pattern, chunks := harness.NewPattern(1), harness.NewChunks(4096)
		last := time.Now()
		for range parts {
			if gap := time.Since(last); gap > timeout/2 {
				t.Skipf("the machine is too busy: no byte was read for %v", gap)
			}
			if err := harness.VerifyPattern(client, pattern, total/parts, chunks); err != nil {
				t.Fatal(err)
			}
			last = time.Now()
			time.Sleep(100 * time.Millisecond) // being slow is the point
		}
		if err := harness.VerifyPattern(client, pattern, total%parts, chunks); err != nil {
			t.Fatal(err)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		client.Exchange(server, harness.Bytes(2, 100))
	})
}

// Sessions that do nothing cost nothing, in whatever state they are and with time-outs to watch, and so do clients that
// wait for a worker.
func TestIdleSessionsCostNothing(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Listen()
		const sessions = 100
		p := r.Start(harness.Config{MaxWorkers: sessions, Apps: []harness.App{{
			Targets: harness.To(target), IdleTimeout: "1m", HalfCloseTimeout: "1m",
		}}})
		for i := range sessions {
			client, server := p.Session(target)
			client.Exchange(server, harness.Bytes(1, 1000))
			switch {
			case i%4 == 1:
				client.CloseWrite()
			case i%4 == 2:
				server.CloseWrite()
			case i%32 == 3:
				client.Fill(harness.NewPattern(1))
			}
		}
		for range 5 {
			p.Dial().Send([]byte("hello"))
		}
		p.Settle()
		testkit.ExpectUsage(t, p.PID(), 2*time.Second, testkit.Usage{CPU: 40 * time.Millisecond, Wakeups: 1000})
	})
}

func TestHalfCloseTimeout(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		const timeout = 2 * time.Second
		r := harness.New(t, engine)
		p, lines := startLines(r, harness.App{HalfCloseTimeout: timeout.String()})
		var flows []flow // from the side that finishes last
		for _, l := range lines {
			client, server := l.session(r)
			flows = append(flows, flow{"client of " + l.String(), server, client})
			client, server = l.session(r)
			flows = append(flows, flow{"target of " + l.String(), client, server})
		}
		for _, f := range flows {
			f.to.Exchange(f.from, harness.Bytes(1, 1000))
		}
		// Before a side has finished this time-out means nothing.
		time.Sleep(timeout + timeout/4)
		for _, f := range flows {
			f.to.CloseWrite()
			f.from.ExpectEOF()
		}
		// Nor does it while bytes come from the other side.
		trickle(t, flows, 5*time.Second, timeout)
		for _, f := range flows {
			ended(f.to)
			// This side has read EOF before, and learns of the end when it writes.
			harness.Eventually(t, "a write fails", func() bool {
				_, err := f.from.Write([]byte{'.'})
				return err != nil
			})
		}
		for _, record := range p.Records(len(flows)) {
			if record.Cause != "half_close_timeout" {
				t.Errorf("cause = %s, want half_close_timeout", record.Cause)
			}
		}
	})
}

func TestNoTimeoutByDefault(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		p, target := transports[0].start(r, harness.App{})
		client, server := p.Session(target)
		time.Sleep(3 * time.Second)
		client.Exchange(server, harness.Bytes(1, 1000))
		server.Exchange(client, harness.Bytes(2, 1000))
	})
}
