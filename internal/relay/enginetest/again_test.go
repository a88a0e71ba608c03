package enginetest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/testkit"
)

// How a session ends, which its client asks its target for.
const (
	targetFirst = 't' // the target finishes, and then the client
	clientFirst = 'c' // the client finishes with its request, and the target with its answer
	targetReset = 'r' // the target resets once its answer has arrived
)

// answer answers what ask asks.
func answer(c net.Conn) {
	how := make([]byte, 1)
	if _, err := io.ReadFull(c, how); err != nil {
		return
	}
	if how[0] == clientFirst {
		io.Copy(io.Discard, c)
	}
	io.WriteString(c, "answer")
	if how[0] == targetReset {
		io.ReadFull(c, make([]byte, 1)) // it has arrived
		testkit.Reset(c)
	}
}

// ask is one session of a client, from its connect until it has seen the end.
func ask(at net.Addr, how byte) error {
	conn, err := net.Dial(at.Network(), at.String())
	if err != nil {
		return err
	}
	c := conn.(stream)
	defer c.Close()
	c.SetDeadline(time.Now().Add(testkit.Timeout))
	if _, err := c.Write([]byte{how}); err != nil {
		return err
	}
	if how == clientFirst {
		c.CloseWrite()
	}
	if _, err := io.ReadFull(c, make([]byte, len("answer"))); err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	want := io.EOF
	if how == targetReset {
		c.Write([]byte{'!'})
		if at.Network() == "tcp" {
			want = unix.ECONNRESET
		}
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, want) {
		return fmt.Errorf("read = %d, %w; want %w", n, err, want)
	}
	return nil
}

// A client that has seen the end of its session may connect again at once: a session that is over does not count, whichever
// limit there is, and whoever has ended it.
func TestSessionThatIsOverDoesNotCount(t *testing.T) {
	limits := map[string]func(*rig){
		"max_sessions_per_source": func(r *rig) { r.limit(admit.Policy{MaxSessionsPerSource: 1}) },
		"max_sessions":            func(r *rig) { r.limit(admit.Policy{MaxSessions: 1}) },
		"max_sessions of a target": func(r *rig) {
			r.narrow(testkit.Timeout)
		},
		"max_workers": func(r *rig) { r.workers.Resize(1) },
	}
	eachEngine(t, func(t *testing.T, e engine) {
		for name, limit := range limits {
			t.Run(name, func(t *testing.T) {
				e.eachTransport(t, nil, func(r *rig) {
					limit(r)
					defer testkit.ServeOn(r.T, r.target, answer).Close()
					r.askAgain(targetFirst, 100)
					r.askAgain(clientFirst, 100)
					if r.target.Addr().Network() == "tcp" {
						r.askAgain(targetReset, 100)
					}
				})
			})
		}
	})
}

func (r *rig) limit(p admit.Policy) {
	changed := *r.port.Route.Load()
	changed.Gate = admit.NewGate(p, nil)
	r.port.Route.Store(&changed)
}

// askAgain has a client go through many sessions, one right after the other.
func (r *rig) askAgain(how byte, times int) {
	r.Helper()
	causes := map[relay.Cause]int{}
	var counting sync.WaitGroup
	counting.Go(func() {
		for range times {
			causes[(<-r.ended).Cause]++
		}
	})
	failed := 0
	for range times {
		if err := ask(r.port.Listener.Addr(), how); err != nil {
			if failed == 0 {
				r.Errorf("how %c: %v", how, err)
			}
			failed++
		}
	}
	counting.Wait()
	if failed > 0 {
		r.Errorf("how %c: %d of %d sessions fail: %v", how, failed, times, causes)
	}
}

// Sessions that go on count, and who is one too many is refused.
func TestSessionThatGoesOnCounts(t *testing.T) {
	eachTransport(t, nil, func(r *rig) {
		r.limit(admit.Policy{MaxSessions: 2})
		first, second := r.dial(), r.dial()
		servers := []stream{r.accept(), r.accept()}
		first.CloseWrite() // which is half of an end
		for range 20 {
			r.refused()
			if rec := r.expectCause(relay.Limited); rec.Refused != admit.MaxSessions {
				r.Errorf("%+v", rec)
			}
		}
		gate := r.port.Route.Load().Gate
		for refusal, n := range gate.Refused() {
			if want := map[admit.Refusal]uint64{admit.MaxSessions: 20}[refusal]; n != want {
				r.Errorf("%s: %d are counted, want %d", refusal, n, want)
			}
		}
		r.engine.End(relay.Stopped)
		for _, c := range append(servers, first, second) {
			io.Copy(io.Discard, c)
		}
		r.expectCause(relay.Stopped)
		r.expectCause(relay.Stopped)
	})
}
