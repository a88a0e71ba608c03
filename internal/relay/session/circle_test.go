package session

import (
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/relay"
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

func newHop(t *testing.T) hop { return newHopOver(t, "127.0.0.1:0") }

func newHopOver(t *testing.T, address string) hop {
	t.Helper()
	l, err := net.Listen("tcp", address)
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
	*testing.T
	own relay.Own
}

// begin begins a session of an app at the end of a hop, whose targets are at remote.
func (w *walk) begin(app string, from hop, remote ...netip.AddrPort) (*rig, Action) {
	var targets []config.Target
	for _, a := range remote {
		targets = append(targets, config.Target{Address: config.Address{Network: "tcp", Host: a.Addr().String(), Port: a.Port()}, Weight: 1})
	}
	r := &rig{T: w.T}
	events := r.events()
	events.Own = &w.own
	r.Begin(&r.State, rigID, &relay.Route{App: app, Targets: upstream.NewSet(targets, upstream.Policy{}, nil)}, events, 0)
	return r, r.OnAccept(from.local, false, from.fd)
}

// dial has a session connect by a hop.
func dial(r *rig, by hop) {
	r.Helper()
	r.pick()
	r.OnDialled(Target, by.local)
	r.OnConnected(Target, false, r.now)
}

// forgotten wants no connection of those hops to be recorded: who comes by one comes from nowhere.
func (w *walk) forgotten(app string, hops ...hop) {
	w.Helper()
	for _, h := range hops {
		if r, action := w.begin(app, h, h.remote); action != Connect {
			w.Errorf("a connection of a session that has ended is still recorded: %v, %v", action, r.loops)
		}
	}
}

func TestCircleIsDetected(t *testing.T) {
	w := &walk{T: t}
	client, one, two := newHop(t), newHop(t), newHop(t)
	a, action := w.begin("a", client, one.remote)
	if action != Connect {
		t.Fatal(action)
	}
	dial(a, one)
	b, action := w.begin("b", one, two.remote)
	if action != Connect {
		t.Fatal("another app is no circle:", action)
	}
	dial(b, two)
	back, action := w.begin("a", two, one.remote)
	if action != Abort || !slices.Equal(back.loops, []string{"b " + two.remote.String()}) {
		t.Errorf("%v, reported %v", action, back.loops)
	}
	back.endsBy(relay.LoopDetected, true)
	b.End(relay.ClientReset, nil)
	b.over()
	w.forgotten("a", two) // the port is another's then
	a.End(relay.ClientReset, nil)
	a.over()
	w.forgotten("a", one)
}

// The kernel gives a local port to several connections that go to different places: another program's has the port of the
// proxy's own, and is taken for what it is.
func TestPortInCommonIsNoCircle(t *testing.T) {
	w := &walk{T: t}
	client, elsewhere := newHop(t), newHop(t)
	a, _ := w.begin("a", client, elsewhere.remote)
	dial(a, hop{local: client.local})
	if r, action := w.begin("a", client, elsewhere.remote); action != Connect {
		t.Error(action, r.loops)
	}
}

// Attempts that came to nothing are forgotten, and the one that won a race is not.
func TestAttemptsAreForgotten(t *testing.T) {
	w := &walk{T: t}
	client, out := newHop(t), newHopOver(t, "[::1]:0")
	a, _ := w.begin("a", client, out.remote)
	a.pick()
	a.OnDialled(Target, out.local)
	a.End(relay.ClientReset, nil)
	a.over()
	w.forgotten("a", out)

	name := config.Address{Network: "tcp", Host: "name.test", Port: 80}
	b, _ := w.begin("b", client)
	route := *b.Route()
	route.Targets = upstream.NewSet([]config.Target{{Address: name, Weight: 1}}, upstream.Policy{}, nil)
	route.Targets.Resolved(name, []upstream.Endpoint{{Addr: client.remote}, {Addr: out.remote}})
	b.route = &route
	hops := map[netip.AddrPort]hop{client.remote: client, out.remote: out}
	first := hops[b.pick().Addr]
	b.OnDialled(Target, first.local)
	second := hops[b.Race(b.now).Addr]
	b.OnDialled(Racing, second.local)
	b.OnConnected(Racing, true, b.now)
	if r, action := w.begin("b", second, client.remote); action != Abort {
		t.Error("the connection that won is not recorded:", r.loops)
	}
	b.End(relay.ClientReset, nil)
	b.over()
	w.forgotten("b", first, second)
}
