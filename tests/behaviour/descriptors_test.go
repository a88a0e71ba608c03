package behaviour

import (
	"runtime"
	"testing"
	"time"

	"tcp-proxy/internal/testkit"
	"tcp-proxy/tests/harness"
)

// Out of descriptors the proxy waits, says so once, burns no processor time, and goes on when there are some again.
func TestOutOfDescriptorsOnAccept(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		p := r.StartApp(harness.App{Targets: harness.To(r.Echo())})
		var held []*harness.Conn
		for range 3 {
			client := p.Dial()
			client.Send([]byte("hello"))
			client.Expect([]byte("hello"))
			held = append(held, client)
		}
		p.LeaveDescriptors(0)

		waiting := p.Dial()
		waiting.Send([]byte("hello"))
		exhausted := harness.Warning("too many open files")
		harness.Eventually(t, "a line about the limit", func() bool { return p.Log.Count(exhausted) > 0 })
		testkit.ExpectUsage(t, p.PID(), 2*time.Second, testkit.Usage{CPU: 40 * time.Millisecond, Wakeups: 1500})
		if n := p.Log.Count(exhausted); n != 1 {
			t.Errorf("%d lines about the limit, want 1", n)
		}
		held[0].Send([]byte("hello"))
		held[0].Expect([]byte("hello"))
		for _, client := range held {
			end(p, client)
		}
		waiting.Expect([]byte("hello"))
		end(p, waiting)
	})
}

// Out of descriptors for the connection to a target: that is not the target's fault.
func TestOutOfDescriptorsOnConnect(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		a, b := r.Identify("a"), r.Identify("b")
		p := r.StartApp(harness.App{Targets: harness.To(a, b), RetryDeadAfter: "1h"})
		restore := p.LeaveDescriptors(1)
		p.RecordOfAddress(r.ExpectRefusal(p.Address()))
		restore()
		seen := map[string]int{}
		for range 6 {
			seen[ask(t, r, p)]++
		}
		if seen["a"] != 3 || seen["b"] != 3 {
			t.Errorf("6 sessions went to %v: a target was taken for dead", seen)
		}
	})
}

// What a session needs beside its sockets is used again or given back: it does not pile up.
func TestPipesDoNotPileUp(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		// Pipes that the runtime has dropped are closed by the garbage collector, so let that run often.
		r.Environment = []string{"GOGC=1"}
		p := r.StartApp(harness.App{Targets: harness.To(r.Echo())})
		data := harness.Bytes(1, 70_000)
		const sessions = 400
		for range sessions {
			client := p.Dial()
			client.Send(data)
			client.Expect(data)
			client.CloseWrite()
			client.ExpectEOF()
			client.Close()
		}
		p.Records(sessions)
		most := sessions / 2 // of those that the runtime has dropped and that the garbage collector has not come to
		if engine == "loop" {
			most = 2 + 4*runtime.NumCPU() // each loop uses the same one again and again for each direction
		}
		if _, pipes := p.Descriptors(); pipes > most {
			t.Errorf("%d descriptors of pipes after %d sessions, one at a time", pipes, sessions)
		}
	})
}
