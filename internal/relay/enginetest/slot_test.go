package enginetest

import (
	"errors"
	"os"
	"testing"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/testkit"
	"tcp-proxy/internal/upstream"
)

// narrow gives the rig's target one slot, for which sessions wait so long.
func (r *rig) narrow(timeout time.Duration) *upstream.Target {
	set := upstream.NewSet([]config.Target{{Address: addressOf(r.target), Weight: 1, MaxSessions: 1}}, upstream.Policy{Retry: time.Hour}, nil)
	r.setRoute(func(route *relay.Route) { route.Targets, route.ConnectTimeout = set, timeout })
	return set.All()[0]
}

// A session that finds every target full waits for a slot; those that wait get one in the order in which they came.
func TestWaitsForASlot(t *testing.T) {
	eachTCP(t, nil, func(r *rig) {
		x := r.narrow(testkit.Timeout)
		client, server := r.session()
		const waiting = 5
		var clients []stream
		for i := range waiting {
			clients = append(clients, r.dial())
			testkit.Eventually(r.T, "it waits", func() bool { return r.workers.Busy() == 2+i })
			// A worker is taken a moment before the session waits.
			r.alone(20 * time.Millisecond)
		}
		for _, next := range clients {
			r.finish(client, server)
			client, server = next, r.accept()
			r.exchange(client, server, 100)
		}
		if rec := r.finish(client, server); rec.Attempts != 1 || rec.Connect < 20*time.Millisecond {
			r.Errorf("%+v", rec)
		}
		if n := x.Sessions(); n != 0 {
			r.Errorf("the target still has %d sessions", n)
		}
	})
}

// alone wants no session to come to the target for a while.
func (r *rig) alone(d time.Duration) {
	r.Helper()
	l := r.target.(interface{ SetDeadline(time.Time) error })
	l.SetDeadline(time.Now().Add(d))
	defer l.SetDeadline(time.Time{})
	if _, err := r.target.Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
		r.Fatalf("a session too many: %v", err)
	}
}

// It does not wait for longer than one attempt to connect may take.
func TestNoSlotInTime(t *testing.T) {
	const limit = 200 * time.Millisecond
	eachTCP(t, nil, func(r *rig) {
		r.narrow(limit)
		client, server := r.session()
		for range 3 {
			r.refused()
			rec := r.expectCause(relay.Limited)
			if rec.Duration < limit || rec.Attempts != 0 || !errors.Is(rec.Err, upstream.ErrFull) || rec.Refused != "" {
				r.Errorf("%+v", rec)
			}
		}
		r.finish(client, server)
	})
}

// A session that waits ends when its client resets, when it is told to, and when it has been open for too long.
func TestEndWhileWaitingForASlot(t *testing.T) {
	eachTCP(t, nil, func(r *rig) {
		r.narrow(testkit.Timeout)
		client, server := r.session()
		for _, cause := range []relay.Cause{relay.ClientReset, relay.MaxDuration} {
			if cause == relay.MaxDuration {
				changed := *r.port.Route.Load()
				changed.MaxDuration = 100 * time.Millisecond
				r.port.Route.Store(&changed)
			}
			next := r.dial()
			if cause == relay.ClientReset {
				testkit.Reset(next)
			} else {
				r.expectReset(next)
			}
			r.expectCause(cause)
		}
		r.finish(client, server)

		r.narrow(testkit.Timeout)
		client, server = r.session()
		next := r.dial()
		r.alone(50 * time.Millisecond)
		r.engine.End(relay.Stopped)
		for _, c := range []stream{client, server, next} {
			r.expectReset(c)
		}
		r.expectCause(relay.Stopped)
		r.expectCause(relay.Stopped)
	})
}
