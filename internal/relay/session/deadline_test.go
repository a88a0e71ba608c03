package session

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/relay"
)

// What is due in each phase, and not a nanosecond before its deadline.
func TestDeadlines(t *testing.T) {
	limits := func(r *relay.Route) {
		r.ConnectTimeout, r.MaxDuration, r.IdleTimeout = 3*time.Second, time.Hour, 5*time.Second
	}
	for _, c := range []struct {
		name   string
		change func(*relay.Route)
		raced  bool
		events func(*rig)
		after  time.Duration // 0: nothing is ever due
		due    Due
	}{
		{"no limits", func(*relay.Route) {}, false, func(r *rig) { r.pick() }, 0, DueNothing},
		{"no limits, connected", func(*relay.Route) {}, false, func(r *rig) { r.connect() }, 0, DueNothing},
		{"connecting", limits, false, func(r *rig) { r.pick() }, 3 * time.Second, DueConnect},
		{"connecting to a name", limits, true, func(r *rig) { r.pick() }, RaceAfter, DueRace},
		{"racing", limits, true, func(r *rig) { r.pick(); r.pass(time.Second); r.Race(r.now) }, 2 * time.Second, DueConnect},
		{"one of a race has failed", limits, true, func(r *rig) {
			r.pick()
			r.pass(time.Second)
			r.Race(r.now)
			r.pass(time.Second)
			r.fail(Racing, unix.ECONNREFUSED)
		}, RaceAfter, DueRace},
		{"the racing attempt goes on alone", limits, true, func(r *rig) {
			r.pick()
			r.pass(time.Second)
			r.Race(r.now)
			r.pass(time.Second)
			r.fail(Target, unix.ECONNREFUSED)
			r.pass(RaceAfter)
			r.Race(r.now) // there is no third address
		}, 2*time.Second - RaceAfter, DueConnect},
		{"relaying", limits, false, func(r *rig) { r.connect() }, 5 * time.Second, DueQuiet},
		{"relaying, and moving bytes", limits, false, func(r *rig) { r.connect(); r.pass(4 * time.Second); r.Moved(r.now) }, 5 * time.Second, DueQuiet},
		{"open for long", limits, false, func(r *rig) { r.connect(); r.pass(time.Hour - time.Second); r.Moved(r.now) }, time.Second, DueMaxDuration},
		{"connecting for long", limits, false, func(r *rig) { r.pass(time.Hour - time.Second); r.pick() }, time.Second, DueMaxDuration},
	} {
		t.Run(c.name, func(t *testing.T) {
			route := newRoute(1, nil)
			if c.raced {
				route = named(t)
			}
			c.change(route)
			r := begin(t, route)
			c.events(r)
			at := r.deadline()
			if c.after == 0 {
				if at != Never || r.Due(Never-1, &r.still) != DueNothing {
					t.Errorf("something is due in %v", time.Duration(at-r.now))
				}
				return
			}
			if at != r.now+int64(c.after) {
				t.Errorf("the deadline is in %v, want %v", time.Duration(at-r.now), c.after)
			}
			if due := r.Due(at-1, &r.still); due != DueNothing {
				t.Errorf("%v is due too early", due)
			}
			if due := r.Due(at, &r.still); due != c.due {
				t.Errorf("%v is due, want %v", due, c.due)
			}
		})
	}
}

// MaxDuration ends a session in any phase, also after a standstill.
func TestMaxDuration(t *testing.T) {
	route := newRoute(1, nil)
	route.MaxDuration = time.Second
	r := begin(t, route)
	r.pick()
	r.pass(time.Second)
	r.still.Late(int64(time.Hour), r.now)
	due := r.Due(r.now, &r.still)
	if due != DueMaxDuration || r.OnDue(due) != Abort {
		t.Errorf("%v is due", due)
	}
	r.endsBy(relay.MaxDuration, false)
	noSessions(t, route)
}

// What expired while the engine stood still has more time, of a second at most; what expires on time has none.
func TestExtension(t *testing.T) {
	for _, c := range []struct{ limit, late, more time.Duration }{
		{3 * time.Second, 0, 0},
		{3 * time.Second, StoodStill - 1, 0},
		{3 * time.Second, StoodStill, time.Second},
		{3 * time.Second, time.Hour, time.Second},
		{200 * time.Millisecond, time.Hour, 200 * time.Millisecond},
	} {
		route := newRoute(1, nil)
		route.IdleTimeout = c.limit
		r := begin(t, route)
		r.connect()
		r.pass(c.limit + c.late)
		if extended := r.still.Late(int64(c.late), r.now); extended != (c.more > 0) {
			t.Errorf("%v late for %v: extended is %v", c.late, c.limit, extended)
		}
		if c.more > 0 {
			if due := r.Due(r.now+int64(c.more)-1, &r.still); due != DueNothing {
				t.Errorf("%v late for %v: %v is due too early", c.late, c.limit, due)
			}
		}
		if due := r.Due(r.now+int64(c.more), &r.still); due != DueQuiet {
			t.Errorf("%v late for %v: after %v %v is due", c.late, c.limit, c.more, due)
		}
	}
}

// An engine that is late again and again extends time-outs once in a while only; but a little lateness takes nothing from a
// standstill after it.
func TestExtensionsAreRare(t *testing.T) {
	var x Standstill
	now := int64(time.Hour)
	for _, c := range []struct {
		after, late time.Duration
		want        bool
	}{
		{0, 200 * time.Millisecond, true},
		{time.Second, 399 * time.Millisecond, false},
		{time.Second, 400 * time.Millisecond, true},
		{time.Second, 20 * time.Second, true},
		{9 * time.Second, 39 * time.Second, false},
		{time.Second, 100 * time.Millisecond, true},
	} {
		now += int64(c.after)
		if got := x.Late(int64(c.late), now); got != c.want {
			t.Errorf("%v late, %v after: %v", c.late, c.after, got)
		}
	}
}
