package session

import (
	"errors"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/config"
	"tcp-proxy/internal/proxyproto"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/upstream"
)

// move continues the session as if in another engine.
func (r *rig) move() Frozen {
	r.Helper()
	f := r.Freeze()
	if r.State != (State{}) || r.Route() != nil || len(r.ended) != 0 {
		r.Errorf("a session that is frozen leaves %+v, %+v, %v", r.State, r.Session, r.ended)
	}
	f.Reenter()
	r.Adopt(&r.State, &f, r.events())
	return f
}

// All that a session knows of itself goes along, whatever it does. A field of Session or State that is new is to be carried by
// Frozen, or is one of those that do not go along.
func TestFrozenHasAll(t *testing.T) {
	known := map[reflect.Type][]string{
		reflect.TypeFor[State](): {"Phase", "first", "finished", "broken", "early", "begun", "connected", "moved", "resetAt", "until", "raceAt"},
		reflect.TypeFor[Session](): {"state", "route", "events", "client", "header", "refused", "tried", "waiter", "attempts", "err", "id", "cause",
			"why", "origin", "waitUntil", "fromHere", "admitted", "left", "unresolved", "localFault"},
	}
	for of, names := range known {
		var fields []string
		for i := range of.NumField() {
			fields = append(fields, of.Field(i).Name)
		}
		if !reflect.DeepEqual(fields, names) {
			t.Errorf("%v has the fields %q: does what is new go along?", of, fields)
		}
	}
}

func TestFrozenWhileRelaying(t *testing.T) {
	route := newRoute(2, nil)
	route.Gate = admit.NewGate(admit.Policy{MaxSessions: 1, MaxSessionsPerSource: 1}, nil)
	route.IdleTimeout = time.Minute
	r := begin(t, route)
	failed := r.pick()
	r.fail(Target, unix.ECONNREFUSED)
	x := r.connect()
	r.pass(time.Second / 2)
	r.OnFinished(Target, r.now)
	r.OnBroken(Client, false, r.now)
	state := r.State
	for range 3 {
		f := r.Freeze()
		if x.Sessions() != 0 || route.Gate.Open() != 0 {
			t.Errorf("%d sessions, %d clients while it is frozen", x.Sessions(), route.Gate.Open())
		}
		f.Reenter()
		r.Adopt(&r.State, &f, r.events())
		if x.Sessions() != 1 || route.Gate.Open() != 1 {
			t.Errorf("%d sessions, %d clients after it", x.Sessions(), route.Gate.Open())
		}
		if r.State != state || r.ID() != rigID || r.Target(Target) != x {
			t.Errorf("%+v, was %+v", r.State, state)
		}
	}
	r.pass(ResetGrace)
	if due := r.Due(r.now, &r.still); due != DueReset {
		t.Errorf("due is %v", due)
	}
	r.OnDue(DueReset)
	rec := r.endsBy(relay.ClientReset, true)
	if rec.Attempts != 2 || rec.Target != x.Name || rec.Duration != time.Second/2+ResetGrace || rec.ID != rigID {
		t.Errorf("%+v", rec)
	}
	if failed.State() != upstream.Dead || x.State() != upstream.Alive {
		t.Errorf("%s, %s", failed.State(), x.State())
	}
	noSessions(t, route)
	if route.Gate.Open() != 0 {
		t.Errorf("%d clients are left", route.Gate.Open())
	}
}

// A header that is awaited is awaited until the same moment, and one that was read is known.
func TestFrozenHeader(t *testing.T) {
	route := newRoute(1, nil)
	route.ProxyFrom = admit.NewNetworks([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")})
	route.ProxyTimeout, route.SendProxy = time.Second, 1
	r := accepted(t, route)
	if action := r.OnAccept(netip.MustParseAddrPort("192.0.2.7:1234"), false, -1); action != ReadHeader {
		t.Fatal(action)
	}
	until := r.deadline()
	r.pass(time.Second / 2)
	r.move()
	if r.Phase != Header || r.deadline() != until {
		t.Errorf("phase %v until %d, was %d", r.Phase, r.deadline(), until)
	}
	names := proxyproto.Header{Source: netip.MustParseAddrPort("198.51.100.1:1"), Destination: netip.MustParseAddrPort("198.51.100.2:2")}
	text, _ := proxyproto.Append(nil, 1, names)
	if action := r.OnHeader(text, nil, false); action != Connect {
		t.Fatal(action)
	}
	r.move()
	r.pick()
	if action := r.OnConnected(Target, false, r.now); action != SendHeader {
		t.Fatal(action)
	}
	r.move()
	if sent, err := r.AppendTargetHeader(nil, nil); err != nil || string(sent) != string(text) {
		t.Errorf("%q, %v", sent, err)
	}
	r.End(relay.Stopped, nil)
	if rec := r.endsBy(relay.Stopped, false); rec.Client != names.Source.String() {
		t.Errorf("%+v", rec)
	}
}

// Connects that are under way count neither for nor against their targets, and are tried anew, in a race too.
func TestFrozenWhileConnecting(t *testing.T) {
	route := named(t)
	route.ConnectTimeout = time.Second
	r := begin(t, route)
	for range 3 {
		r.pick()
		r.pass(RaceAfter)
		if r.Race(r.now) == nil {
			t.Fatal("no race")
		}
		f := r.move()
		noSessions(t, route)
		if r.Phase != Choosing || f.Attempts.Count != 0 || f.Target != nil || r.deadline() != Never {
			t.Errorf("%+v", f)
		}
	}
	for _, x := range route.Targets.All() {
		if x.State() != upstream.Alive {
			t.Errorf("%s is %s", x.Name, x.State())
		}
	}
	r.connect()
	r.End(relay.Stopped, nil)
	if rec := r.endsBy(relay.Stopped, false); rec.Attempts != 1 {
		t.Errorf("%+v", rec)
	}
	noSessions(t, route)
}

// The last error is known if nothing is left to try, and whose fault it was.
func TestFrozenBetweenAttempts(t *testing.T) {
	for err, cause := range map[error]relay.Cause{unix.ECONNREFUSED: relay.ConnectFailed, unix.EMFILE: relay.Internal} {
		r := begin(t, newRoute(1, nil))
		r.pick()
		r.fail(Target, err)
		if f := r.move(); f.Attempts.Count != 1 {
			t.Errorf("%+v", f)
		}
		if x, action := r.Pick(r.now); x != nil || action != Abort {
			t.Errorf("%v, %v", x, action)
		}
		if rec := r.endsBy(cause, true); !errors.Is(rec.Err, err) || rec.Attempts != 1 {
			t.Errorf("%+v", rec)
		}
	}
}

// A wait for a slot ends when it would have ended, and a slot that is granted meanwhile is given back.
func TestFrozenWhileWaiting(t *testing.T) {
	route := newRoute(1, func(t *config.Target) { t.MaxSessions = 1 })
	route.ConnectTimeout = time.Second
	x := route.Targets.All()[0]
	first, second := begin(t, route), begin(t, route)
	first.connect()
	wait := func() {
		t.Helper()
		if _, action := second.Pick(second.now); action != AwaitSlot {
			t.Fatal(action)
		}
		second.Await(second.now, func() {})
	}
	wait()
	until := second.deadline()
	second.pass(time.Second / 2)
	ticket := second.move().Attempts.Ticket
	second.move() // before it came to wait again
	wait()
	if second.deadline() != until {
		t.Errorf("it waits until %d, waited until %d", second.deadline(), until)
	}
	if f := second.move(); f.Attempts.Ticket != ticket || ticket == 0 {
		t.Errorf("ticket %d, was %d", f.Attempts.Ticket, ticket)
	}
	wait()
	first.End(relay.Stopped, nil)
	first.over() // which grants the slot
	if x.Sessions() != 1 {
		t.Fatal("no slot is granted")
	}
	f := second.Freeze()
	if x.Sessions() != 0 {
		t.Error("the slot is not given back")
	}
	f.Reenter()
	second.Adopt(&second.State, &f, second.events())
	second.connect()
	second.pass(time.Hour)
	second.End(relay.Stopped, nil)
	second.over()
	noSessions(t, route)
}

// A session that is from this machine is known as such: what it has dialled closes a circle as before.
func TestFrozenFromHere(t *testing.T) {
	w := &walk{T: t}
	outside, there, back := newHop(t), newHop(t), newHop(t)
	first, _ := w.begin("one", outside, there.remote)
	dial(first, there)
	second, _ := w.begin("two", there, back.remote)
	dial(second, back)
	f := second.Freeze()
	if !f.FromHere || len(f.Apps) != 2 {
		t.Errorf("%+v", f)
	}
	events := second.events()
	events.Own = &w.own
	f.Reenter()
	second.Adopt(&second.State, &f, events)
	second.OnDialled(Target, back.local)
	if third, action := w.begin("one", back, there.remote); action != Abort {
		t.Errorf("a circle is not recognised: %v", action)
	} else {
		third.endsBy(relay.LoopDetected, true)
	}
	for _, r := range []*rig{first, second} {
		r.End(relay.Stopped, nil)
		r.over()
	}
}
