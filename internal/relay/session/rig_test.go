package session

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/upstream"
)

// A rig is a session, a clock that only the test moves, and what the session has reported.
type rig struct {
	*testing.T
	Session
	State
	now   int64
	still Standstill

	failed []string // targets, and whether that found them dead
	short  []string
	back   []string
	second []string
	loops  []string
	stood  int
	ended  []relay.Record
}

func (r *rig) events() *relay.Events {
	return &relay.Events{
		Own: &relay.Own{},
		ConnectFailed: func(_ *relay.Route, t *upstream.Target, _ error, died bool) {
			r.failed = append(r.failed, fmt.Sprintf("%s %v", t.Name, died))
		},
		Connected: func(*relay.Route) { r.stood++ },
		Short: func(l relay.Lack, route *relay.Route, err error) {
			r.short = append(r.short, fmt.Sprintf("%s %s: %v", l, route.App, err))
		},
		TargetBack:   func(_ *relay.Route, t *upstream.Target) { r.back = append(r.back, t.Name) },
		Demoted:      func(_ *relay.Route, t *upstream.Target) { r.second = append(r.second, t.Name) },
		LoopDetected: func(route *relay.Route, t *upstream.Target) { r.loops = append(r.loops, route.App+" "+t.Name) },
		Ended:        func(rec *relay.Record) { r.ended = append(r.ended, *rec) },
	}
}

// rigID is the ID of a rig's session.
const rigID = 7

// begin begins a session of that route at time 1000 seconds, whose client is remote.
func begin(t *testing.T, route *relay.Route) *rig {
	t.Helper()
	r := accepted(t, route)
	if action := r.OnAccept(netip.MustParseAddrPort("192.0.2.7:1234"), false, -1); action != Connect {
		t.Fatalf("a client that nobody refuses: %v", action)
	}
	return r
}

// accepted begins a session before its client is known.
func accepted(t *testing.T, route *relay.Route) *rig {
	r := &rig{T: t, now: int64(1000 * time.Second)}
	r.Begin(&r.State, rigID, route, r.events(), r.now)
	return r
}

// pass moves the clock.
func (r *rig) pass(d time.Duration) { r.now += int64(d) }

// pick wants a target.
func (r *rig) pick() *upstream.Target {
	r.Helper()
	t, action := r.Pick(r.now)
	if t == nil || action != Connect {
		r.Fatalf("no target: action %v", action)
	}
	return t
}

// connect connects the session to the next target.
func (r *rig) connect() *upstream.Target {
	r.Helper()
	t := r.pick()
	if action := r.OnConnected(Target, false, r.now); action != Relay {
		r.Fatalf("connected, and then %v", action)
	}
	return t
}

// fail has the attempt of a side fail.
func (r *rig) fail(side int, err error) Action { return r.OnConnectFailed(side, err, r.now) }

// over accounts for the session and returns its record.
func (r *rig) over() relay.Record {
	r.Helper()
	var rec relay.Record
	r.Account(&rec, r.now)
	if len(r.ended) != 1 {
		r.Fatalf("the session was reported %d times", len(r.ended))
	}
	return rec
}

// endsBy wants the session to have ended for a cause, with an error or without.
func (r *rig) endsBy(cause relay.Cause, withErr bool) relay.Record {
	r.Helper()
	rec := r.over()
	if rec.Cause != cause || (rec.Err != nil) != withErr {
		r.Errorf("it ended as %s (%v), want %s", rec.Cause, rec.Err, cause)
	}
	return rec
}

// newRoute is a route with n targets.
func newRoute(n int, change func(*config.Target)) *relay.Route {
	var targets []config.Target
	for i := range n {
		t := config.Target{Address: config.Address{Network: "tcp", Host: "127.0.0.1", Port: uint16(i + 1)}, Weight: 1}
		if change != nil {
			change(&t)
		}
		targets = append(targets, t)
	}
	return &relay.Route{App: "web", Targets: upstream.NewSet(targets, upstream.Policy{Retry: time.Hour}, nil)}
}

// named is a route whose only target is a name with an IPv4 and an IPv6 address.
func named(t *testing.T) *relay.Route {
	t.Helper()
	name := config.Address{Network: "tcp", Host: "name.test", Port: 80}
	set := upstream.NewSet([]config.Target{{Address: name, Weight: 1}}, upstream.Policy{Retry: time.Hour}, nil)
	set.Resolved(name, []upstream.Endpoint{
		{Addr: netip.MustParseAddrPort("192.0.2.1:80")}, {Addr: netip.MustParseAddrPort("[2001:db8::1]:80")},
	})
	return &relay.Route{App: "web", Targets: set}
}

// noSessions wants no target to have one left.
func noSessions(t *testing.T, route *relay.Route) {
	t.Helper()
	for _, x := range route.Targets.All() {
		if n := x.Sessions(); n != 0 {
			t.Errorf("%s has %d sessions left", x.Name, n)
		}
	}
}

// deadline is the earliest moment at which something may be due.
func (r *rig) deadline() int64 { return r.Session.Deadline(&r.still) }
