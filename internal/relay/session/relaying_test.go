package session

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/meter"
	"tcp-proxy/internal/relay"
)

// Why a session ends that relays: what happens, what the engine is to do in the end, and the cause that is reported.
func TestCauses(t *testing.T) {
	idle := func(r *relay.Route) { r.IdleTimeout = time.Minute }
	both := func(r *relay.Route) { r.IdleTimeout, r.HalfCloseTimeout = time.Minute, 10*time.Second }
	longHalf := func(r *relay.Route) { r.IdleTimeout, r.HalfCloseTimeout = 10*time.Second, time.Minute }
	half := func(r *relay.Route) { r.HalfCloseTimeout = 10 * time.Second }
	// quiet passes the time at which a time-out is to expire, and has it.
	quiet := func(d time.Duration) func(*rig) Action {
		return func(r *rig) Action {
			r.Helper()
			r.pass(d - 1)
			if due := r.Due(r.now, &r.still); due != DueNothing {
				r.Errorf("%v is due too early", due)
			}
			r.pass(1)
			due := r.Due(r.now, &r.still)
			if due != DueQuiet {
				r.Errorf("after %v %v is due", d, due)
			}
			return r.OnDue(due)
		}
	}
	after := func(first func(*rig) Action, then func(*rig) Action) func(*rig) Action {
		return func(r *rig) Action {
			if action := first(r); action != Wait {
				r.Errorf("at first: %v", action)
			}
			return then(r)
		}
	}
	finished := func(side int) func(*rig) Action {
		return func(r *rig) Action { r.pass(1); return r.OnFinished(side, r.now) }
	}
	reset := func(side int) func(*rig) Action {
		return func(r *rig) Action { return r.OnReset(side, unix.ECONNRESET) }
	}
	broken := func(side int, drained bool) func(*rig) Action {
		return func(r *rig) Action { return r.OnBroken(side, drained, r.now) }
	}
	for _, c := range []struct {
		name    string
		change  func(*relay.Route)
		events  func(*rig) Action
		action  Action
		cause   relay.Cause
		withErr bool
	}{
		{"the client finishes first", nil, after(finished(Client), finished(Target)), Finish, relay.ClientClosed, false},
		{"the target finishes first", nil, after(finished(Target), finished(Client)), Finish, relay.TargetClosed, false},
		{"the client resets", nil, reset(Client), Abort, relay.ClientReset, true},
		{"the target resets", nil, reset(Target), Abort, relay.TargetReset, true},
		{"the target finishes, the client resets", nil, after(finished(Target), reset(Client)), Abort, relay.ClientReset, true},
		{"the client is broken, and nothing of it is left", nil, broken(Client, true), Abort, relay.ClientReset, true},
		{"the target is broken, and nothing of it is left", nil, broken(Target, true), Abort, relay.TargetReset, true},
		{"idle", idle, quiet(time.Minute), Abort, relay.IdleTimeout, false},
		{"idle after the client finished", idle, after(finished(Client), quiet(time.Minute)), Abort, relay.IdleTimeout, false},
		{"half-closed", both, after(finished(Client), quiet(10*time.Second)), Abort, relay.HalfCloseTimeout, false},
		{"half-closed by the target", half, after(finished(Target), quiet(10*time.Second)), Abort, relay.HalfCloseTimeout, false},
		{"idle, not half-closed", both, quiet(time.Minute), Abort, relay.IdleTimeout, false},
		{"half-closed for less than idle", longHalf, after(finished(Client), quiet(10*time.Second)), Abort, relay.IdleTimeout, false},
		{"stopped", nil, func(r *rig) Action { return r.End(relay.Stopped, nil) }, Abort, relay.Stopped, false},
		{"the first cause counts", nil, func(r *rig) Action {
			r.End(relay.TargetDead, nil)
			return r.End(relay.Stopped, errors.New("another"))
		}, Abort, relay.TargetDead, false},
		{"a good end counts", nil, after(finished(Client), func(r *rig) Action {
			if action := r.OnFinished(Target, r.now); action != Finish {
				r.Error(action)
			}
			return r.End(relay.Stopped, nil)
		}), Abort, relay.ClientClosed, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			route := newRoute(1, nil)
			if c.change != nil {
				c.change(route)
			}
			r := begin(t, route)
			r.connect()
			if action := c.events(r); action != c.action {
				t.Errorf("action %v, want %v", action, c.action)
			}
			r.endsBy(c.cause, c.withErr)
			noSessions(t, route)
		})
	}
}

// What a broken side sent before may be relayed for exactly ResetGrace.
func TestResetGrace(t *testing.T) {
	for side, cause := range map[int]relay.Cause{Client: relay.ClientReset, Target: relay.TargetReset} {
		r := begin(t, newRoute(1, nil))
		r.connect()
		if action := r.OnBroken(side, false, r.now); action != Wait {
			t.Fatalf("bytes are left: %v", action)
		}
		if at := r.deadline(); at != r.now+int64(100*time.Millisecond) {
			t.Errorf("the deadline is in %v", time.Duration(at-r.now))
		}
		r.pass(50 * time.Millisecond)
		if r.OnBroken(side, false, r.now) != Wait { // another event prolongs nothing
			t.Error("ended too early")
		}
		r.pass(50*time.Millisecond - 1)
		if due := r.Due(r.now, &r.still); due != DueNothing {
			t.Errorf("%v is due too early", due)
		}
		r.pass(1)
		due := r.Due(r.now, &r.still)
		if due != DueReset || r.OnDue(due) != Abort {
			t.Errorf("%v is due", due)
		}
		r.endsBy(cause, true)
	}
}

// A session that has ended takes no more events.
func TestEventsAfterTheEnd(t *testing.T) {
	r := begin(t, newRoute(2, nil))
	r.pick()
	r.End(relay.Stopped, nil)
	for name, action := range map[string]Action{
		"OnHeader":     r.OnHeader(nil, errors.New("late"), false),
		"OnRecount":    r.OnRecount(),
		"OnGranted":    r.OnGranted(),
		"OnConnected":  r.OnConnected(Target, false, r.now),
		"OnFinished":   r.OnFinished(Client, r.now),
		"OnReset":      r.OnReset(Client, nil),
		"OnBroken":     r.OnBroken(Client, false, r.now),
		"OnDue":        r.OnDue(DueQuiet),
		"OnHeaderSent": r.OnHeaderSent(0, 1, nil, false),
	} {
		if action != Abort {
			t.Errorf("%s: %v", name, action)
		}
	}
	if _, action := r.Pick(r.now); action != Abort {
		t.Errorf("Pick: %v", action)
	}
	r.endsBy(relay.Stopped, false)
}

// A target that ends a session soon, without a byte for a client that had not finished, has closed early.
func TestEarlyClose(t *testing.T) {
	for _, c := range []struct {
		name   string
		events func(*rig)
		bytes  int64
		early  bool
	}{
		{"closed at once", func(r *rig) { r.OnFinished(Target, r.now); r.OnFinished(Client, r.now) }, 0, true},
		{"closed at the last moment", func(r *rig) { r.pass(time.Second); r.OnFinished(Target, r.now) }, 0, true},
		{"closed later", func(r *rig) { r.pass(time.Second + 1); r.OnFinished(Target, r.now) }, 0, false},
		{"closed with bytes", func(r *rig) { r.OnFinished(Target, r.now) }, 1, false},
		{"after the client", func(r *rig) { r.OnFinished(Client, r.now); r.OnFinished(Target, r.now) }, 0, false},
		{"reset at once", func(r *rig) { r.OnReset(Target, unix.ECONNRESET) }, 0, true},
		{"reset later", func(r *rig) { r.pass(time.Second + 1); r.OnReset(Target, unix.ECONNRESET) }, 0, false},
		{"reset after the client finished", func(r *rig) { r.OnFinished(Client, r.now); r.OnReset(Target, unix.ECONNRESET) }, 0, false},
		{"reset by the client", func(r *rig) { r.OnReset(Client, unix.ECONNRESET) }, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := begin(t, newRoute(1, nil))
			r.pass(time.Minute) // connecting took its time: it does not count
			x := r.connect()
			c.events(r)
			r.End(relay.Stopped, nil)
			r.Account(&relay.Record{Download: c.bytes}, r.now)
			if got := x.Condition().Early; got > 0 != c.early {
				t.Errorf("%d early closes", got)
			}
		})
	}
}

// The meter counts every session, and how long connecting took of those that got a target.
func TestMeter(t *testing.T) {
	route := newRoute(1, nil)
	route.Meter = meter.NewApp()
	a, b := begin(t, route), begin(t, route)
	a.pass(time.Second)
	a.connect()
	if n := route.Meter.Active(); n != 2 {
		t.Errorf("%d sessions are active", n)
	}
	a.pass(time.Minute)
	a.OnFinished(Client, a.now)
	a.OnFinished(Target, a.now)
	if rec := a.over(); rec.Connect != time.Second || rec.Duration != time.Second+time.Minute {
		t.Errorf("%+v", rec)
	}
	b.pass(time.Second)
	b.End(relay.NoTarget, nil)
	if rec := b.over(); rec.Connect != time.Second || rec.Duration != time.Second {
		t.Errorf("%+v", rec)
	}
	if n, connect, all := route.Meter.Active(), route.Meter.Connect.Read(), route.Meter.Session.Read(); n != 0 || connect.Total != 1 || all.Total != 2 {
		t.Errorf("%d active, %d connected, %d ended", n, connect.Total, all.Total)
	}
	if got := route.Meter.Causes(); got["client_closed"] != 1 || got["no_target"] != 1 {
		t.Error(got)
	}
}
