package session

import (
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/config"
	"tcp-proxy/internal/proxyproto"
	"tcp-proxy/internal/relay"
)

var client, denied = netip.MustParseAddrPort("[::ffff:192.0.2.7]:1"), netip.MustParseAddrPort("10.1.2.3:1")

// limited is a route that one session may use, from a network that is not denied.
func limited() *relay.Route {
	route := newRoute(1, nil)
	route.Gate = admit.NewGate(admit.Policy{MaxSessions: 1, Deny: config.NetworksOf(netip.MustParsePrefix("10.0.0.0/8"))}, nil)
	return route
}

// A client that only the number of sessions keeps out is asked for again, and a session that has left does not count though
// it is not reported yet.
func TestAdmission(t *testing.T) {
	route := limited()
	refused := func() (n uint64) {
		for refusal, count := range route.Gate.Refused() {
			if refusal == admit.MaxSessions {
				n = count
			}
		}
		return n
	}
	first, second, third := accepted(t, route), accepted(t, route), accepted(t, route)
	if action := first.OnAccept(client, false, -1); action != Connect {
		t.Errorf("the first: %v", action)
	}
	x := first.connect()
	if action := second.OnAccept(client, false, -1); action != Recount || second.Phase != Recounting || refused() != 0 {
		t.Errorf("the second: %v, %d refusals are counted", action, refused())
	}
	if action := third.OnAccept(denied, false, -1); action != Abort {
		t.Errorf("of a network that is denied: %v", action)
	}
	if rec := third.endsBy(relay.Denied, false); rec.Refused != admit.Denied {
		t.Errorf("refused as %q", rec.Refused)
	}
	if action := second.OnRecount(); action != Abort || refused() != 1 {
		t.Errorf("the second while the first is there: %v, %d refusals are counted", action, refused())
	}
	if rec := second.endsBy(relay.Limited, false); rec.Refused != admit.MaxSessions {
		t.Errorf("refused as %q", rec.Refused)
	}
	fourth := accepted(t, route)
	fourth.OnAccept(client, false, -1)
	first.End(relay.ClientReset, nil)
	first.Leave(first.now)
	if action := fourth.OnRecount(); action != Connect || x.Sessions() != 0 {
		t.Errorf("after the first has left: %v, its target has %d sessions", action, x.Sessions())
	}
	if rec := first.over(); rec.Target != x.Name || route.Gate.Open() != 1 || x.Sessions() != 0 {
		t.Errorf("%+v; %d are in, the target has %d sessions", rec, route.Gate.Open(), x.Sessions())
	}
	fourth.End(relay.ClientReset, nil)
	if fourth.over(); route.Gate.Open() != 0 {
		t.Errorf("%d are in", route.Gate.Open())
	}
}

func TestPeerThatTheKernelDoesNotReport(t *testing.T) {
	r := accepted(t, newRoute(1, nil))
	if action := r.OnAccept(netip.AddrPort{}, false, -1); action != Abort {
		t.Error(action)
	}
	if rec := r.endsBy(relay.Internal, true); rec.Err != relay.ErrNoPeer {
		t.Error(rec.Err)
	}
	r = accepted(t, newRoute(1, nil))
	if action := r.OnAccept(netip.AddrPort{}, true, -1); action != Connect {
		t.Errorf("a client of a unix socket: %v", action)
	}
}

// What may become of a PROXY header that is due.
func TestHeader(t *testing.T) {
	good, err := proxyproto.Append(nil, 1, proxyproto.Header{Source: netip.MustParseAddrPort("198.51.100.9:7"), Destination: client})
	if err != nil {
		t.Fatal(err)
	}
	refusing, err := proxyproto.Append(nil, 1, proxyproto.Header{Source: denied, Destination: netip.MustParseAddrPort("10.9.9.9:1")})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		header string
		err    error
		broken bool
		action Action
		cause  relay.Cause
	}{
		{"a client", string(good), nil, false, Connect, ""},
		{"a client that is refused", string(refusing), nil, false, Abort, relay.Denied},
		{"nobody", "PROXY UNKNOWN\r\n", nil, false, Connect, ""},
		{"not one", "GET / HTTP/1.1\r\n", nil, false, Abort, relay.ProxyHeader},
		{"cut short", "", errors.New("ended"), false, Abort, relay.ProxyHeader},
		{"reset", "", unix.ECONNRESET, false, Abort, relay.ClientReset},
		{"timed out by the kernel", "", unix.ETIMEDOUT, false, Abort, relay.ClientReset},
		{"cut short by a reset", "", errors.New("ended"), true, Abort, relay.ClientReset},
	} {
		t.Run(c.name, func(t *testing.T) {
			route := limited()
			route.ProxyFrom = admit.NewNetworks([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")})
			route.ProxyTimeout = time.Second
			r := accepted(t, route)
			if action := r.OnAccept(client, false, -1); action != ReadHeader || r.deadline() != r.now+int64(time.Second) {
				t.Fatalf("before the header: %v", action)
			}
			if action := r.OnHeader([]byte(c.header), c.err, c.broken); action != c.action {
				t.Errorf("action %v, want %v", action, c.action)
			}
			if at := r.deadline(); c.action == Connect && at != Never {
				t.Error("the header's time-out goes on")
			}
			if c.cause != "" {
				r.endsBy(c.cause, c.cause != relay.Denied)
				return
			}
			r.connect()
			r.End(relay.ClientReset, nil)
			rec := relay.Record{Client: "192.0.2.7:1"}
			r.Account(&rec, r.now)
			if named := c.name == "a client"; named != (rec.Client == "198.51.100.9:7" && rec.Peer == "192.0.2.7:1") {
				t.Errorf("client %q, peer %q", rec.Client, rec.Peer)
			}
		})
	}
}

// Who does not have to send a header is not asked for one.
func TestHeaderThatIsNotDue(t *testing.T) {
	route := newRoute(1, nil)
	route.ProxyFrom = admit.NewNetworks([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
	r := accepted(t, route)
	if action := r.OnAccept(client, false, -1); action != Connect {
		t.Error(action)
	}
}

// The header that the target is sent, and what may become of it.
func TestHeaderForTheTarget(t *testing.T) {
	route := newRoute(1, nil)
	route.SendProxy = 1
	accept := func() (proxyproto.Header, error) {
		return proxyproto.Header{Source: netip.MustParseAddrPort("192.0.2.7:1"), Destination: netip.MustParseAddrPort("192.0.2.1:80")}, nil
	}
	for _, c := range []struct {
		name   string
		err    error
		broken bool
		left   int
		action Action
		cause  relay.Cause
	}{
		{"sent", nil, false, 0, Relay, relay.Stopped},
		{"in part", nil, false, 1, Abort, relay.Internal},
		{"reset", os.NewSyscallError("send", unix.EPIPE), false, 1, Abort, relay.TargetReset},
		{"given up by the kernel", os.NewSyscallError("send", unix.ETIMEDOUT), true, 1, Abort, relay.TargetReset},
		{"not for lack of memory", os.NewSyscallError("send", unix.ENOBUFS), false, 1, Abort, relay.Internal},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := begin(t, route)
			r.pick()
			if action := r.OnConnected(Target, false, r.now); action != SendHeader {
				t.Fatal(action)
			}
			header, err := r.AppendTargetHeader(nil, accept)
			if err != nil || !strings.HasPrefix(string(header), "PROXY TCP4 192.0.2.7 192.0.2.1 1 80") {
				t.Fatalf("%q, %v", header, err)
			}
			if action := r.OnHeaderSent(len(header)-c.left, len(header), c.err, c.broken); action != c.action {
				t.Errorf("action %v, want %v", action, c.action)
			}
			r.End(relay.Stopped, nil)
			r.endsBy(c.cause, c.action == Abort)
		})
	}
}
