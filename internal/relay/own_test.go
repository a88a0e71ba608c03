package relay

import (
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"

	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/config"
	"tcp-proxy/internal/upstream"
)

// fdOf gives the descriptor of a connection, which stays open as long as the test.
func fdOf(t *testing.T, c syscall.Conn) (fd int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(n uintptr) { fd = int(n) }); err != nil {
		t.Fatal(err)
	}
	return fd
}

// A hop is a connection of the proxy to itself: what one session has dialled, and another has accepted.
type hop struct {
	local, remote netip.AddrPort
	fd            int // of the one that was accepted
}

func newHop(t *testing.T) hop {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	out, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close() })
	return hop{out.LocalAddr().(*net.TCPAddr).AddrPort(), l.Addr().(*net.TCPAddr).AddrPort(), fdOf(t, in.(*net.TCPConn))}
}

// A walk is the sessions of a connection that comes back again and again, on the targets of some apps.
type walk struct {
	t      *testing.T
	events Events
	found  []string // what LoopDetected was told
}

func newWalk(t *testing.T) *walk {
	w := &walk{t: t}
	w.events = Events{Own: &Own{}, Ended: func(*Record) {}, Connected: func(*Route) {}, TargetBack: func(*Route, *upstream.Target) {},
		LoopDetected: func(r *Route, to *upstream.Target) { w.found = append(w.found, r.App+" "+to.Name) }}
	return w
}

// begin begins a session of an app at the end of a hop, whose target is at remote.
func (w *walk) begin(app string, from hop, remote netip.AddrPort) (*Approach, Cause) {
	w.t.Helper()
	set := upstream.NewSet([]config.Target{{Address: config.Address{Network: "tcp", Host: remote.Addr().String(), Port: remote.Port()}}}, upstream.Policy{}, nil)
	a := &Approach{}
	a.Begin(&Route{App: app, Targets: set, Gate: admit.NewGate(admit.Policy{}, nil)}, &w.events)
	if !a.Near(from.local.Addr()) {
		w.t.Fatal("it is not near")
	}
	cause, _ := a.Meet(from.local, from.fd)
	return a, cause
}

// dial has a session connect by a hop.
func (w *walk) dial(a *Approach, by hop) {
	w.t.Helper()
	x, cause, err := a.Next()
	if x == nil {
		w.t.Fatal(cause, err)
	}
	a.Dialled(x, by.local)
	a.Connected(x, 0)
}

func TestACircleIsDetected(t *testing.T) {
	w := newWalk(t)
	client, one, two := newHop(t), newHop(t), newHop(t)
	a, cause := w.begin("a", client, one.remote)
	if cause != "" {
		t.Fatal(cause)
	}
	w.dial(a, one)
	b, cause := w.begin("b", one, two.remote)
	if cause != "" || !slices.Equal(b.near.apps, []string{"a", "b"}) {
		t.Fatal("another app is no circle:", cause, b.near.apps)
	}
	w.dial(b, two)
	if _, cause := w.begin("a", two, one.remote); cause != LoopDetected || !slices.Equal(w.found, []string{"b " + two.remote.String()}) {
		t.Errorf("%q, told %v", cause, w.found)
	}
	// What is over is forgotten: the port is another's then.
	b.Over(&Record{})
	if _, cause := w.begin("a", two, one.remote); cause != "" {
		t.Error(cause)
	}
	a.Over(&Record{})
	if n := len(w.events.Own.dialled); n != 0 {
		t.Errorf("%d connections are still noted", n)
	}
}

// The kernel gives a local port to several connections that go to different places: another program's has the port of the
// proxy's own, and is taken for what it is.
func TestAPortInCommonIsNoCircle(t *testing.T) {
	w := newWalk(t)
	client, elsewhere := newHop(t), newHop(t)
	a, _ := w.begin("a", client, elsewhere.remote)
	w.dial(a, hop{local: client.local})
	if _, cause := w.begin("a", client, elsewhere.remote); cause != "" {
		t.Error(cause, w.found)
	}
	a.Over(&Record{})
}

// Attempts that come to nothing are forgotten, and the rival that stands is not.
func TestAttemptsAreForgotten(t *testing.T) {
	w := newWalk(t)
	client, out := newHop(t), newHop(t)
	a, _ := w.begin("a", client, out.remote)
	x, _, _ := a.Next()
	a.Dialled(x, out.local)
	a.Abandoned(x)
	if n := len(w.events.Own.dialled); n != 0 {
		t.Errorf("%d connections are noted after the only one was abandoned", n)
	}
	a.Over(&Record{})

	b, _ := w.begin("b", client, out.remote)
	x, _, _ = b.Next()
	y := *x // stands in for a rival
	b.begin(&y, false)
	b.Dialled(x, client.local)
	b.Dialled(&y, out.local)
	b.Abandoned(x)
	b.Connected(&y, 0)
	if _, cause := w.begin("b", out, client.remote); cause != LoopDetected {
		t.Errorf("the rival that stands is not noted: %q", cause)
	}
	b.Over(&Record{})
	if n := len(w.events.Own.dialled); n != 0 {
		t.Errorf("%d connections are still noted", n)
	}
}

func TestNear(t *testing.T) {
	var o Own
	remote, mine := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	if o.near(remote) || o.near(mine) || !o.near(netip.MustParseAddr("127.1.2.3")) || !o.near(netip.IPv6Loopback()) {
		t.Error("only loopback is near")
	}
	o.SetMachine(map[netip.Addr]bool{mine: true})
	if o.near(remote) || !o.near(mine) {
		t.Error("the addresses of this machine are near, and no others")
	}
}
