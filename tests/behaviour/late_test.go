package behaviour

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"tcp-proxy/internal/testkit"
	"tcp-proxy/tests/harness"
)

// stopped has the process stand still while f does what it does, and until time-outs of that length are over.
func stopped(t *testing.T, p *harness.Proxy, timeout time.Duration, f func()) {
	t.Helper()
	if err := syscall.Kill(p.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(p.PID(), syscall.SIGCONT)
	harness.Eventually(t, "the process is stopped", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID()))
		return err == nil && strings.Contains(string(stat), ") T ")
	})
	since := time.Now()
	f()
	time.Sleep(time.Until(since.Add(timeout + 300*time.Millisecond))) // every time-out is over
}

// sockets is how many descriptors the proxy has that are no pipes.
func sockets(p *harness.Proxy) int {
	all, pipes := p.Descriptors()
	return all - pipes
}

// What has come while the process stood still counts, whatever time-outs are over when it goes on: a PROXY header, bytes
// of idle and of half-closed sessions, more of them than one look at the sockets tells of, the connection to a target,
// a place on one. What has not come is given up, and the longest that a session may be open is absolute.
//
// Before that, all of it has to be set up within half a time-out. If the machine is too busy for that, the time-outs are
// doubled.
func TestStandingStill(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		const longest = 24 * time.Second // well below the deadline of the test's own connections
		for timeout := 3 * time.Second; timeout <= longest; timeout *= 2 {
			if standStill(t, engine, timeout) {
				return
			}
		}
		t.Skip("the machine is too busy")
	})
}

// standStill makes one attempt with time-outs of that length. It reports false if the set-up took too long for them.
func standStill(t *testing.T, engine string, timeout time.Duration) bool {
	const many = 300
	limit := timeout.String()
	r := harness.New(t, engine)
	idle, half, place, short := r.Listen(), r.Listen(), r.Listen(), r.Listen()
	greeted := r.Listen()
	slow := r.Address()
	hole := testkit.NewBlackhole(t, slow)
	p := r.Start(harness.Config{MaxWorkers: 2 * many, Apps: []harness.App{
		{Name: "idle", Targets: harness.To(idle), IdleTimeout: limit},
		{Name: "half", Targets: harness.To(half), HalfCloseTimeout: limit},
		{Name: "slow", Targets: []any{slow}, ConnectTimeout: limit},
		{Name: "place", Targets: []any{harness.TargetConfig{Address: place.Address, MaxSessions: 1}}, ConnectTimeout: limit},
		{Name: "greeted", Targets: harness.To(greeted),
			AcceptProxyProtocol: &harness.AcceptProxyProtocol{From: []string{"0.0.0.0/0"}, Timeout: limit}},
		{Name: "short", Targets: harness.To(short), MaxSessionDuration: limit},
	}})
	session := func(app int, target *harness.Target) flow {
		client := r.Dial(p.AddressOf(app))
		return flow{"", client, target.Accept()}
	}
	before := time.Now()
	tooLate := func() bool { return time.Since(before) > timeout/2 }
	silent := session(0, idle)
	var quiet []flow
	for range many {
		quiet = append(quiet, session(0, idle))
	}
	held := session(3, place)
	open := sockets(p)
	var halves []flow
	for range 20 {
		f := session(1, half)
		f.to.CloseWrite()
		f.from.ExpectEOF()
		halves = append(halves, f)
	}
	if tooLate() {
		return false
	}
	// Their time-outs begin anew.
	before = time.Now()
	for _, f := range quiet {
		_, err := f.from.Write([]byte{'.'})
		if err == nil {
			_, err = f.to.Read(make([]byte, 1))
		}
		if err != nil && tooLate() {
			return false
		} else if err != nil {
			t.Fatal(err)
		}
	}
	sessions := 2 * len(halves)
	bounded := session(5, short)
	waiting := r.Dial(p.AddressOf(3))
	connecting := r.Dial(p.AddressOf(2))
	var greeting []*harness.Conn
	for range 20 {
		greeting = append(greeting, r.Dial(p.AddressOf(4)))
	}
	speechless := r.Dial(p.AddressOf(4))
	sessions += 2 + 1 + 2 + len(greeting) + 1
	harness.Eventually(t, "all are accepted", func() bool { return sockets(p)-open >= sessions || tooLate() })
	if tooLate() {
		return false
	}
	var stood net.Conn
	stopped(t, p, timeout, func() {
		for _, f := range append(quiet, halves...) {
			f.from.Send([]byte("in time"))
		}
		for _, c := range greeting {
			c.Send([]byte("PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\nin time"))
		}
		bounded.from.Send([]byte("in time"))
		connecting.Send([]byte("in time"))
		held.from.Close()
		held.to.Close()
		stood = hole.Open()
	})
	for _, f := range append(quiet, halves...) {
		f.to.Expect([]byte("in time"))
	}
	for range greeting {
		greeted.Accept().Expect([]byte("in time"))
	}
	stood.SetDeadline(time.Now().Add(harness.Timeout))
	got := make([]byte, len("in time"))
	if n, err := stood.Read(got); err != nil {
		t.Errorf("the connection that stood in time: %d bytes, %v", n, err)
	}
	waiting.Exchange(place.Accept(), []byte("in time"))
	silent.from.ExpectReset()
	speechless.ExpectReset()
	bounded.from.ExpectReset()
	if n := p.Log.Count(harness.Warning("dead")); n != 0 {
		t.Errorf("%d warnings: %s", n, p.Log.Text())
	}
	stood.Close()
	return true
}
