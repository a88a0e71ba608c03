package session

import (
	"net/netip"
	"testing"
	"time"

	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/config"
	"tcp-proxy/internal/proxyproto"
	"tcp-proxy/internal/relay"
)

// What a session says of itself in each phase, and that an operator can end it there: at once, and with all slots given back.
func TestOperatorEndsAnyPhase(t *testing.T) {
	peer := netip.MustParseAddrPort("192.0.2.7:1234")
	anywhere := admit.NewNetworks([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")})
	oneSlot := func(t *config.Target) { t.MaxSessions = 1 }
	for _, c := range []struct {
		name      string
		route     *relay.Route
		bring     func(*testing.T, *relay.Route) *rig // to the phase
		progress  relay.Progress
		hasTarget bool
	}{
		{"a header is awaited", newRoute(1, nil), func(t *testing.T, route *relay.Route) *rig {
			route.ProxyFrom, route.ProxyTimeout = anywhere, time.Second
			r := accepted(t, route)
			r.OnAccept(peer, false, -1)
			return r
		}, relay.AwaitsHeader, false},
		{"the gate is asked again", newRoute(1, nil), func(t *testing.T, route *relay.Route) *rig {
			route.Gate = admit.NewGate(admit.Policy{MaxSessions: 1}, nil)
			begin(t, route)
			r := accepted(t, route)
			if action := r.OnAccept(peer, false, -1); action != Recount {
				t.Fatalf("the second session: %v", action)
			}
			return r
		}, relay.Admission, false},
		{"a target is chosen", newRoute(1, nil), begin, relay.Connecting, false},
		{"waiting for a slot", newRoute(1, oneSlot), func(t *testing.T, route *relay.Route) *rig {
			route.Targets.All()[0].Drain(true)
			r := begin(t, route)
			r.Await(r.now, func() {})
			return r
		}, relay.AwaitsSlot, false},
		{"connecting", newRoute(1, nil), func(t *testing.T, route *relay.Route) *rig {
			r := begin(t, route)
			r.pick()
			return r
		}, relay.Connecting, true},
		{"racing", named(t), func(t *testing.T, route *relay.Route) *rig {
			r := begin(t, route)
			r.pick()
			r.pass(RaceAfter)
			if r.Race(r.now) == nil {
				t.Fatal("there is no second address")
			}
			return r
		}, relay.Connecting, true},
		{"relaying", newRoute(1, nil), func(t *testing.T, route *relay.Route) *rig {
			r := begin(t, route)
			r.connect()
			return r
		}, relay.Established, true},
		{"the client has finished", newRoute(1, nil), func(t *testing.T, route *relay.Route) *rig {
			r := begin(t, route)
			r.connect()
			r.OnFinished(Client, r.now)
			return r
		}, relay.HalfClosed, true},
		{"the target has finished", newRoute(1, nil), func(t *testing.T, route *relay.Route) *rig {
			r := begin(t, route)
			r.connect()
			r.OnFinished(Target, r.now)
			return r
		}, relay.HalfClosed, true},
		{"a side is broken", newRoute(1, nil), func(t *testing.T, route *relay.Route) *rig {
			r := begin(t, route)
			r.connect()
			r.OnBroken(Client, false, r.now)
			return r
		}, relay.Established, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := c.bring(t, c.route)
			var d relay.OpenSession
			r.Describe(&d, peer)
			if d.ID != rigID || d.Route != c.route || d.Progress != c.progress || d.Client != peer || d.Peer != peer || (d.Target != nil) != c.hasTarget {
				t.Errorf("it says %+v", d)
			}
			if action := r.End(relay.OperatorReset, nil); action != Abort {
				t.Errorf("it is ended, and then %v", action)
			}
			if rec := r.endsBy(relay.OperatorReset, false); rec.ID != rigID {
				t.Errorf("the record has the ID %d", rec.ID)
			}
			noSessions(t, c.route)
		})
	}
}

// A PROXY header says who the client is; the peer is then told as well.
func TestDescribeHeader(t *testing.T) {
	route := newRoute(1, nil)
	route.ProxyFrom = admit.NewNetworks([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")})
	peer, client := netip.MustParseAddrPort("192.0.2.7:1234"), netip.MustParseAddrPort("[2001:db8::7]:4321")
	header, err := proxyproto.Append(nil, 2, proxyproto.Header{Source: client, Destination: netip.MustParseAddrPort("[2001:db8::1]:80")})
	if err != nil {
		t.Fatal(err)
	}
	r := accepted(t, route)
	r.OnAccept(peer, false, -1)
	r.OnHeader(header, nil, false)
	var d relay.OpenSession
	if r.Describe(&d, peer); d.Client != client || d.Peer != peer {
		t.Errorf("it says %+v", d)
	}
}
