package relay

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/upstream"
)

// Own recognises connections that the proxy makes to itself: what the network does with a target's address may lead to a
// port of the proxy, though the address is none of this machine's (a rule of a firewall, a service of Kubernetes). Such a
// session is one of a circle if its app is one that the connection has come by already.
//
// Only sessions from this machine can be the proxy's own, and only they are looked up, and have their connections noted:
// others cost a look at their address. A session knows by which apps it has come as long as each step was recognised. One
// that is accepted before its connection is noted is missed, and the next step of the circle is not.
//
// The zero value recognises addresses of loopback alone. It is safe for concurrent use.
type Own struct {
	machine atomic.Pointer[map[netip.Addr]bool]

	mu      sync.Mutex // guards what follows, and what it points to
	dialled map[netip.AddrPort]*dialled
}

// nearby is what is known of a session from this machine.
type nearby struct {
	apps []string // by which it has come, its own the last
	on   [2]dialled
}

// dialled is a connection of such a session, by the local address in Own. The zero value is none.
type dialled struct {
	local, remote netip.AddrPort
	from          *nearby
	route         *Route
	target        *upstream.Target
}

// SetMachine says which addresses are those of this machine, without zones. The map is Own's from then on.
func (o *Own) SetMachine(addresses map[netip.Addr]bool) { o.machine.Store(&addresses) }

// near reports whether a peer is on this machine.
func (o *Own) near(peer netip.Addr) bool {
	if peer.IsLoopback() {
		return true
	}
	machine := o.machine.Load()
	return machine != nil && (*machine)[peer]
}

// meet notes in n by which apps a connection has come that was accepted for an app. If that closes a circle, it returns
// the connection that does. The kernel may give one local port to several connections that go to different places: what tells
// that the proxy's own is this one is that it goes where the socket was accepted, or was meant to go.
func (o *Own) meet(n *nearby, app string, peer netip.AddrPort, fd int) (circle *dialled) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n.apps = n.apps[:0]
	if d := o.dialled[peer]; d != nil && leadsTo(d.remote, fd) {
		n.apps = append(n.apps, d.from.apps...)
		if slices.Contains(n.apps, app) {
			circle = &dialled{route: d.route, target: d.target}
		}
	}
	n.apps = append(n.apps, app)
	return circle
}

// leadsTo reports whether connecting to an address may have led to an accepted socket.
func leadsTo(to netip.AddrPort, fd int) bool {
	local, err := linux.LocalAddr(fd)
	return err == nil && local == to || linux.OriginalDestination(fd) == to
}

// note notes a connection of a session, in place n of two.
func (o *Own) note(from *nearby, n int, d dialled) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.dialled == nil {
		o.dialled = map[netip.AddrPort]*dialled{}
	}
	d.from = from
	from.on[n] = d
	o.dialled[d.local] = &from.on[n]
}

// move has the connection in one place be in another.
func (o *Own) move(of *nearby, from, to int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	d := of.on[from]
	of.on[from] = dialled{}
	of.on[to] = d
	if o.dialled[d.local] == &of.on[from] {
		o.dialled[d.local] = &of.on[to]
	}
}

// forget forgets the connection in a place.
func (o *Own) forget(of *nearby, n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.dialled[of.on[n].local] == &of.on[n] {
		delete(o.dialled, of.on[n].local)
	}
	of.on[n] = dialled{}
}

// Near reports whether the peer of a connection is on this machine: then the approach is to Meet it.
func (a *Approach) Near(peer netip.Addr) bool {
	return a.events.Own != nil && peer.IsValid() && a.events.Own.near(peer)
}

// Meet is told of the peer of a connection that is Near, without a zone, and of the socket, before the first Next. A cause
// is why the session ends: it is one of a circle.
func (a *Approach) Meet(peer netip.AddrPort, fd int) (Cause, error) {
	if a.near == nil {
		a.near = &nearby{}
	}
	a.isNear = true
	circle := a.events.Own.meet(a.near, a.route.App, peer, fd)
	if circle == nil {
		return "", nil
	}
	a.events.LoopDetected(circle.route, circle.target)
	return LoopDetected, fmt.Errorf("the connection comes from this proxy itself: app %q connected to %s, which leads back to app %q",
		circle.route.App, circle.target.Name, a.route.App)
}

// Notes reports whether the approach wants to be told of connections to targets by Dialled.
func (a *Approach) Notes() bool { return a.isNear }

// Dialled says from where, as the kernel has it, a connect to t goes, or has gone. t was given by Next or Rival and not
// answered for yet.
func (a *Approach) Dialled(t *upstream.Target, local netip.AddrPort) {
	if !a.isNear || !local.IsValid() || !t.Addr.IsValid() {
		return
	}
	remote := netip.AddrPortFrom(t.Addr.Addr().Unmap().WithZone(""), t.Addr.Port())
	a.events.Own.note(a.near, a.attempt(t), dialled{local: local, remote: remote, route: a.route, target: t})
}

// Once a connection stands it is in the first place.
func (a *Approach) keepDialled(n int) {
	if a.isNear && n != 0 {
		a.events.Own.move(a.near, n, 0)
	}
}

func (a *Approach) forgetDialled(n int) {
	if a.isNear {
		a.events.Own.forget(a.near, n)
	}
}
