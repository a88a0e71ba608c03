package behaviour

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tcp-proxy/tests/harness"
)

// A doctor is a port of its own where checks are answered for every target on the rig's host.
type doctor struct {
	*harness.Target
	says atomic.Value // string
}

func startDoctor(r *harness.Rig, says string) *doctor {
	r.T.Helper()
	d := &doctor{}
	d.says.Store(says)
	d.Target = r.Serve(func(c *harness.Conn) {
		if _, err := c.Read(make([]byte, 4096)); err == nil {
			_, _ = io.WriteString(c, d.says.Load().(string)) // or the check is over
		}
	})
	return d
}

// asked waits for that many more checks.
func (d *doctor) asked(t *testing.T, more int) {
	t.Helper()
	before := d.Accepted()
	harness.Eventually(t, "checks come", func() bool { return d.Accepted() >= before+more })
}

// probe is a manner of checking so often that tests need not wait, at the doctor's if there is one.
func probe(when string, d *doctor) *harness.Probe {
	p := &harness.Probe{When: when, Interval: "20ms", Rise: 2, Fall: 2}
	if d != nil {
		_, port, _ := net.SplitHostPort(d.Address)
		p.Port, _ = strconv.Atoi(port)
	}
	return p
}

// back waits until the log has that many entries that say that a target is alive again, and finds no more.
func back(t *testing.T, p *harness.Proxy, target string, want int) {
	t.Helper()
	entry := func(l harness.Line) bool {
		return l.Fields["target"] == target && l.Fields["event"] == "target_back"
	}
	harness.Eventually(t, target+" is back", func() bool { return p.Log.Count(entry) >= want })
	if n := p.Log.Count(entry); n != want {
		t.Errorf("%d entries that %s is back, want %d", n, target, want)
	}
}

// By default it is a check that brings a dead target back: no client is its trial.
func TestADeadTargetComesBackWhenItListens(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		a, b := r.IdentifyAt("a", "unix:"+r.Path("a.sock")), r.Identify("b")
		for _, target := range []*harness.Target{a, b} {
			other := map[*harness.Target]string{a: "b", b: "a"}[target]
			p := r.StartApp(harness.App{Targets: harness.To(a, b), Probe: probe("", nil), RetryDeadAfter: "1ms"})
			target.Stop()
			expectNames(t, r, p, other, other, other, other)
			warnings(t, p, target.Address, 1)
			attempts := 0
			for _, record := range p.Records(4) {
				attempts += record.Attempts
			}
			if attempts != 5 {
				t.Errorf("%d attempts for 4 sessions: one finds the target dead, and no other is its trial", attempts)
			}
			target.Restart()
			back(t, p, target.Address, 1)
			goTo(t, r, p, "a", "b")
			warnings(t, p, target.Address, 1)
			p.Stop()
		}
	})
}

// Whoever listens and does not answer as it should stays dead; and only what changes is told.
func TestADeadTargetComesBackWhenItAnswers(t *testing.T) {
	status := func(n int) string {
		return fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Length: 0\r\n\r\n", n, http.StatusText(n))
	}
	for name, c := range map[string]struct {
		manner func(*harness.Probe)
		well   string
		ill    []string
	}{
		"send and expect": {
			manner: func(p *harness.Probe) { p.Send, p.Expect = "PING\r\n", "+PONG\r\n" },
			well:   "+PONG\r\n",
			ill:    []string{"", "+PON", "-LOADING Redis is loading the dataset in memory\r\n"},
		},
		"http": {
			manner: func(p *harness.Probe) { p.HTTP = &harness.HTTPProbe{Path: "/healthz", Status: "200-299"} },
			well:   status(204),
			ill:    []string{"", status(503), status(301), "220 mail\r\n"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			harness.EachEngine(t, func(t *testing.T, engine string) {
				r := harness.New(t, engine)
				a, b, d := r.Identify("a"), r.Identify("b"), startDoctor(r, "")
				manner := probe("dead", d)
				c.manner(manner)
				p := r.StartApp(harness.App{Targets: harness.To(a, b), Probe: manner})
				expectNames(t, r, p, "a", "b", "a", "b")
				if n := d.Accepted(); n > 0 {
					t.Errorf("%d checks of targets that are alive", n)
				}
				a.Stop()
				expectNames(t, r, p, "b", "b")
				a.Restart()
				for _, answer := range c.ill {
					d.says.Store(answer)
					d.asked(t, 5)
					expectNames(t, r, p, "b", "b", "b")
				}
				back(t, p, a.Address, 0)
				d.says.Store(c.well)
				back(t, p, a.Address, 1)
				goTo(t, r, p, "a", "b")
				warnings(t, p, a.Address, 1)
				p.Settle()
				checks := d.Accepted()
				expectNames(t, r, p, "a", "b", "a", "b")
				if more := d.Accepted() - checks; more > 0 {
					t.Errorf("%d checks of targets that are alive again", more)
				}
			})
		})
	}
}

// Checked all the time, a target is found dead without that a session has to.
func TestAlwaysFindsTargetsDead(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		a, b, d := r.Identify("a"), r.Identify("b"), startDoctor(r, "ready")
		silent := r.Stall()
		healthy := probe("always", d)
		healthy.Expect, healthy.Send = "ready", "?"
		late := probe("always", nil)
		late.Expect, late.Timeout = "ready", "100ms"
		p := r.Start(harness.Config{Apps: []harness.App{
			{Name: "doctor", Targets: harness.To(a), Probe: healthy},
			{Name: "plain", Targets: harness.To(b), Probe: probe("always", nil)},
			{Name: "late", Targets: harness.To(silent), Probe: late},
		}})
		warnings(t, p, silent.Address, 1)
		d.asked(t, 5)
		warnings(t, p, a.Address, 0)
		warnings(t, p, b.Address, 0)
		d.says.Store("going down")
		b.Stop()
		for address, reason := range map[string]string{
			a.Address:      `probe: the answer begins with \"going down\", not with \"ready\"`,
			b.Address:      `probe: connect: connection refused`,
			silent.Address: `probe: connected, but no answer within 100ms`,
		} {
			warnings(t, p, address, 1)
			if !strings.Contains(p.Log.Lines(harness.Warning(address))[0].Raw, reason) {
				t.Errorf("%s is not dead because: %s", address, reason)
			}
		}
		d.says.Store("ready, again")
		b.Restart()
		back(t, p, a.Address, 1)
		back(t, p, b.Address, 1)
		warnings(t, p, silent.Address, 1)
		back(t, p, silent.Address, 0)
		if len(p.Records(0)) != 0 {
			t.Error("checks are no sessions")
		}
	})
}

// What listens but fails its checks takes no sessions while another can; when none can, it is tried, and what connects
// is alive.
func TestWhatFailsItsChecksIsPassedOver(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		a, b := r.Identify("a"), r.Identify("b")
		manner := probe("always", nil)
		manner.Expect = "b"
		p := r.StartApp(harness.App{Targets: harness.To(a, b), Probe: manner})
		warnings(t, p, a.Address, 1)
		expectNames(t, r, p, "b", "b", "b")
		b.Stop()
		expectNames(t, r, p, "a")
	})
}

func TestNeverProbes(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		a, b, d := r.Identify("a"), r.Identify("b"), startDoctor(r, "")
		manner := probe("never", d)
		manner.Send = "?"
		p := r.StartApp(harness.App{Targets: harness.To(a, b), Probe: manner, RetryDeadAfter: "50ms"})
		a.Stop()
		expectNames(t, r, p, "b", "b")
		a.Restart()
		goTo(t, r, p, "a", "b") // by a trial
		if n := d.Accepted(); n > 0 {
			t.Errorf("%d checks", n)
		}
	})
}

func TestOnDead(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target, d := r.Listen(), startDoctor(r, "ready")
		manner := probe("always", d)
		manner.Expect, manner.Send = "ready", "?"
		p := r.Start(harness.Config{Apps: []harness.App{
			{Name: "close", Targets: harness.To(target), Probe: manner, OnDead: "close"},
			{Name: "keep", Targets: harness.To(target), Probe: manner},
		}})
		closing, closed := p.Session(target)
		keeping, kept := r.Dial(p.AddressOf(1)), target.Accept()
		closing.Exchange(closed, []byte("hello"))
		keeping.Exchange(kept, []byte("hello"))
		d.says.Store("no")
		closing.ExpectReset()
		closed.ExpectReset()
		warnings(t, p, target.Address, 2)
		if record := p.Records(1)[0]; record.App != "close" || record.Cause != "target_dead" || record.BytesUp != 5 {
			t.Errorf("%+v", record)
		}
		keeping.Exchange(kept, []byte("still there"))
		kept.Exchange(keeping, []byte("so am I"))
		// Back is back: sessions from then on are left alone.
		d.says.Store("ready")
		back(t, p, target.Address, 2)
		closing, closed = p.Session(target)
		d.asked(t, 5)
		closing.Exchange(closed, []byte("hello again"))
	})
}

// A target that wants to be told who comes is told so by checks as well: that nobody does.
func TestProbesOfTargetsThatWantAHeader(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		const header = "PROXY UNKNOWN\r\n"
		asked := make(chan string, 10000)
		target := r.Serve(func(c *harness.Conn) {
			b := make([]byte, 1000)
			n, _ := c.Read(b)
			asked <- string(b[:n])
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		})
		manner := probe("always", nil)
		manner.HTTP = &harness.HTTPProbe{Path: "/"}
		p := r.StartApp(harness.App{Targets: harness.To(target), Probe: manner, SendProxyProtocol: "v1"})
		if got := <-asked; !strings.HasPrefix(got, header+"GET / HTTP/1.1\r\n") {
			t.Errorf("asked %q", got)
		}
		warnings(t, p, target.Address, 0)
	})
}

// A process that stood still finds no target dead for it: not by what it did not read meanwhile, and not by an answer
// that comes when it runs again.
func TestAStandstillKillsNoTarget(t *testing.T) {
	t.Parallel()
	r := harness.New(t, "loop")
	stopped, resumed := make(chan struct{}), make(chan struct{})
	var pause atomic.Bool
	checked := r.Serve(func(c *harness.Conn) {
		if _, err := c.Read(make([]byte, 10)); err != nil {
			return
		}
		if pause.Load() { // this one's answer comes while the process stands, or after that
			stopped <- struct{}{}
			<-resumed
		}
		_, _ = io.WriteString(c, "ready") // or the check is over
		_, _ = io.Copy(io.Discard, c)
	})
	manner := probe("always", nil)
	manner.Send, manner.Expect, manner.Timeout, manner.Fall = "go", "ready", "1s", 1
	p := r.StartApp(harness.App{Targets: harness.To(checked), Probe: manner})
	for _, early := range []bool{true, false, true, false} {
		pause.Store(true)
		<-stopped // a check waits for its answer
		pause.Store(false)
		signal(t, p, syscall.SIGSTOP)
		if early {
			resumed <- struct{}{}
		}
		time.Sleep(1200 * time.Millisecond) // longer than its time-out
		signal(t, p, syscall.SIGCONT)
		if !early {
			time.Sleep(50 * time.Millisecond) // the process looks at the clock first
			resumed <- struct{}{}
		}
		before := checked.Accepted()
		harness.Eventually(t, "checks go on", func() bool { return checked.Accepted() > before+3 })
	}
	if lines := p.Log.Lines(harness.Warning("target is dead")); len(lines) > 0 {
		t.Errorf("%d times dead: %v", len(lines), lines[0].Fields)
	}
}

// signal sends one that is not meant to end the process.
func signal(t *testing.T, p *harness.Proxy, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(p.PID(), s); err != nil {
		t.Fatal(err)
	}
}
