package probe

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/testkit"
	"tcp-proxy/internal/upstream"
)

// A frank server sees every error of its connections.
type frank struct {
	*server
	ended  atomic.Int64 // connections that came to their end in good order
	failed chan error
}

// serveFrankly has each connection handled; handle returns the first error that is not the end of what it reads.
func serveFrankly(t testing.TB, network string, handle func(net.Conn) error) *frank {
	t.Helper()
	f := &frank{failed: make(chan error, 10000)}
	f.server = serve(t, network, func(c net.Conn) {
		if err := handle(c); err != nil {
			f.failed <- err
			return
		}
		f.ended.Add(1)
	})
	return f
}

// toTheEnd reads until the client has finished.
func toTheEnd(c net.Conn) error {
	_, err := io.Copy(io.Discard, c)
	return err
}

// writes sends a text and then as many bytes more, slowly.
func writes(c net.Conn, text string, more int, pause time.Duration) error {
	if _, err := io.WriteString(c, text); err != nil {
		return err
	}
	for part := make([]byte, 8<<10); more > 0; more -= len(part) {
		time.Sleep(pause)
		if _, err := c.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// asked reads a part of a request.
func asked(c net.Conn) error {
	_, err := c.Read(make([]byte, 4096))
	return err
}

// A server whose answer was good finds nothing to complain about, whatever it still does with the connection.
func TestGoodChecksEndInGoodOrder(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n\r\n"
	sends, expects, both, get := always(), greeting(config.ProbeAlways), always(), always()
	sends.Send = strings.Repeat("x", 3000)
	both.Send, both.Expect = "PING\r\n", "+PONG"
	get.HTTP = config.HTTPProbe{Path: "/", Low: 200, High: 200}
	slow := func(m Config) Config { // one check at a time is left to end
		m.Interval = 300 * time.Millisecond
		return m
	}
	for _, c := range []struct {
		name     string
		checking Config
		handle   func(net.Conn) error
	}{
		{"send, to one that reads", sends, toTheEnd},
		{"send, to one that answers", sends, func(c net.Conn) error {
			return errors.Join(asked(c), writes(c, "welcome", 64<<10, 0), toTheEnd(c))
		}},
		{"expect", expects, func(c net.Conn) error { return errors.Join(writes(c, "ready", 0, 0), toTheEnd(c)) }},
		{"expect, of one that goes on writing", slow(expects), func(c net.Conn) error {
			return errors.Join(writes(c, "ready", 64<<10, 20*time.Millisecond), toTheEnd(c))
		}},
		{"expect, of one that closes", expects, func(c net.Conn) error { return writes(c, "ready", 0, 0) }},
		{"send and expect", both, func(c net.Conn) error {
			return errors.Join(asked(c), writes(c, "+PONG\r\n", 0, 0), toTheEnd(c))
		}},
		{"send and expect, one byte at a time", both, func(c net.Conn) error {
			for {
				if _, err := c.Read(make([]byte, 1)); err == io.EOF {
					return nil
				} else if err != nil {
					return err
				}
				if _, err := io.WriteString(c, "+PONG"); err != nil {
					return err
				}
			}
		}},
		{"HTTP, of one that closes", get, func(c net.Conn) error { return errors.Join(asked(c), writes(c, ok, 0, 0)) }},
		{"HTTP, of one that finishes and waits", get, func(c net.Conn) error {
			return errors.Join(asked(c), writes(c, ok, 64<<10, 0), finish(c), toTheEnd(c))
		}},
		{"HTTP, of one that goes on writing", slow(get), func(c net.Conn) error {
			return errors.Join(asked(c), writes(c, ok, 64<<10, 20*time.Millisecond))
		}},
		{"HTTP, of one that does not close", slow(get), func(c net.Conn) error {
			return errors.Join(asked(c), writes(c, ok, 0, 0), toTheEnd(c))
		}},
	} {
		for _, network := range []string{"tcp", "unix"} {
			t.Run(c.name+"/"+network, func(t *testing.T) {
				t.Parallel()
				s := serveFrankly(t, network, c.handle)
				r := newRig(t)
				targets := set(t, 1, 1, s.address)
				r.Monitor("app", targets, c.checking)
				testkit.Eventually(t, "checks have ended in good order", func() bool { return s.ended.Load() >= 5 })
				select {
				case err := <-s.failed:
					t.Errorf("the server: %v", err)
				default:
				}
				if targets.All()[0].Dead() {
					t.Error("dead: ", targets.All()[0].Condition().Reason)
				}
			})
		}
	}
}

func finish(c net.Conn) error { return c.(interface{ CloseWrite() error }).CloseWrite() }

// An answer that is not the wanted one is an answer: the server need not learn it by a reset. One that never came is not.
func TestBadChecksEndInGoodOrderToo(t *testing.T) {
	s := serveFrankly(t, "tcp", func(c net.Conn) error { return errors.Join(writes(c, "busy\r\n", 0, 0), toTheEnd(c)) })
	r := newRig(t)
	r.Monitor("app", set(t, 1, 1, s.address), greeting(config.ProbeAlways))
	r.expect(upstream.Died)
	testkit.Eventually(t, "checks have ended in good order", func() bool { return s.ended.Load() >= 5 })
	select {
	case err := <-s.failed:
		t.Errorf("the server: %v", err)
	default:
	}
	silent := serveFrankly(t, "tcp", toTheEnd)
	checking := greeting(config.ProbeAlways)
	checking.Timeout = short
	r.Monitor("silent", set(t, 1, 1, silent.address), checking)
	r.expect(upstream.Died)
	if err := <-silent.failed; !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("one that said nothing in time: %v, want a reset", err)
	}
}

// stubborn is a server that answers and never closes, whatever the client does.
func stubborn(t *testing.T) *server {
	end := make(chan struct{})
	s := serve(t, "tcp", func(c net.Conn) {
		_, _ = io.WriteString(c, "ready")
		<-end
	})
	t.Cleanup(func() { close(end) }) // before the server's own
	return s
}

// Connections that the other end does not finish are bounded, for one target and for all, and take no slot from checks.
func TestClosingsAreBounded(t *testing.T) {
	r := newRig(t)
	r.ask(func() { r.inFlight.limit, r.maxClosing = 2, 3*closingPerTarget-1 })
	apps := make([]*upstream.Set, 6)
	for i := range apps {
		apps[i] = set(t, 1, 1, stubborn(t).address)
		r.Monitor(fmt.Sprint(i), apps[i], greeting(config.ProbeAlways))
	}
	good := serve(t, "tcp", say("ready"))
	targets := set(t, 1, 1, good.address)
	r.Monitor("good", targets, greeting(config.ProbeAlways))
	testkit.Eventually(t, "all are checked again and again", func() bool {
		r.ask(func() {
			if n := len(r.closings); n > r.maxClosing {
				t.Fatalf("%d connections wait for their end", n)
			}
			for _, c := range r.checks {
				if c.closings > closingPerTarget {
					t.Fatalf("%d connections of one target wait for their end", c.closings)
				}
			}
		})
		for _, s := range append(apps, targets) {
			if c := s.All()[0].Condition(); c.ProbesPassed < 30 {
				return false
			}
		}
		return true
	})
	for i := range apps {
		r.Forget(fmt.Sprint(i))
	}
	r.Forget("good")
	r.ask(func() { // as if their time was over
		for _, x := range slices.Clone(r.closings) {
			x.due(r.Prober)
		}
		if n := len(r.closings); n > 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}

// Where descriptors are scarce, what is over makes room for what is to be checked.
func TestClosingsMakeRoomForChecks(t *testing.T) {
	one, two := stubborn(t), serve(t, "tcp", say("ready"))
	r := newRig(t)
	checking := greeting(config.ProbeAlways)
	checking.Interval = time.Hour
	r.Monitor("one", set(t, 1, 1, one.address), checking)
	testkit.Eventually(t, "one waits for its end", func() (waits bool) {
		r.ask(func() { waits = len(r.closings) == 1 && r.closings[0].finished })
		return waits
	})
	restore := noDescriptors(t)
	targets := set(t, 1, 1, two.address)
	checking.Interval = 10 * time.Millisecond
	r.Monitor("two", targets, checking)
	testkit.Eventually(t, "it is given up", func() (none bool) {
		r.ask(func() { none = len(r.closings) == 0 })
		return none
	})
	restore()
	testkit.Eventually(t, "the other is checked", func() bool { return targets.All()[0].Condition().ProbesPassed > 0 })
}

// A server that answers over HTTP and keeps the connection is told that it is over, and has its time after that.
func TestHTTPServerThatDoesNotCloseIsTold(t *testing.T) {
	told := make(chan error, 1)
	s := serve(t, "tcp", func(c net.Conn) {
		_ = asked(c)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		_, err := c.Read(make([]byte, 1))
		if err == io.EOF {
			_, err = io.WriteString(c, "one more")
			time.Sleep(20 * time.Millisecond) // for a reset, which would answer it
			if err == nil {
				_, err = io.WriteString(c, "and another")
			}
		}
		told <- err
	})
	r := newRig(t)
	get := always()
	get.Interval, get.HTTP = time.Hour, config.HTTPProbe{Path: "/", Low: 200, High: 200}
	r.Monitor("app", set(t, 1, 1, s.address), get)
	if err := <-told; err != nil || os.IsTimeout(err) {
		t.Error(err)
	}
}
