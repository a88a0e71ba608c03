package relay

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/upstream"
)

// Own recognises connections that the proxy makes to itself. The network may redirect a target's address to a port of the
// proxy, though the address is none of this machine's (a firewall rule, a Kubernetes Service). A session goes in a circle if
// its connection has come through its own app before.
//
// Only sessions whose client is on this machine can be the proxy's own, and only they are looked up, and have their
// connections recorded: others cost a comparison of addresses. A session knows through which apps it has come as long as
// each step was recognised. One that is accepted before its connection is recorded is missed, and the next step of the
// circle is not.
//
// The zero value recognises loopback addresses alone. It is safe for concurrent use.
type Own struct {
	machine atomic.Pointer[map[netip.Addr]bool]

	mu      sync.Mutex // guards what follows, and what it points to
	dialled map[netip.AddrPort]*Dialled
}

// Origin is what Own knows of a session whose client is on this machine. The zero value knows nothing. Its fields are
// Own's.
type Origin struct {
	apps []string // through which it has come, its own last
	on   [2]Dialled
}

// Dialled is a connect of such a session.
type Dialled struct {
	Local, Remote netip.AddrPort
	Route         *Route
	Target        *upstream.Target

	from *Origin
}

// SetMachine sets the addresses of this machine, without zones. The map is Own's from then on.
func (o *Own) SetMachine(addresses map[netip.Addr]bool) { o.machine.Store(&addresses) }

// FromHere reports whether a peer is on this machine. The address has no zone.
func (o *Own) FromHere(peer netip.Addr) bool {
	if peer.IsLoopback() {
		return true
	}
	machine := o.machine.Load()
	return machine != nil && (*machine)[peer]
}

// Accepted records in n through which apps a connection has come that was accepted for an app, from a peer FromHere. If
// that closes a circle, it returns the connect that does. The kernel may give one local port to several connections that
// go to different places: the proxy's own is the one that goes where the socket was accepted, or was meant to go.
func (o *Own) Accepted(n *Origin, app string, peer netip.AddrPort, fd int) (circle *Dialled) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n.apps = n.apps[:0]
	if d := o.dialled[peer]; d != nil && leadsTo(d.Remote, fd) {
		n.apps = append(n.apps, d.from.apps...)
		if slices.Contains(n.apps, app) {
			circle = &Dialled{Route: d.Route, Target: d.Target}
		}
	}
	n.apps = append(n.apps, app)
	return circle
}

// Through is the names of the apps through which a session has come, its own last.
func (o *Own) Through(of *Origin) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(of.apps)
}

// Reaccept records in n what Through has returned, of a session that goes on in another engine.
func (o *Own) Reaccept(n *Origin, apps []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n.apps = append(n.apps[:0], apps...)
}

// leadsTo reports whether connecting to an address may have led to an accepted socket.
func leadsTo(to netip.AddrPort, fd int) bool {
	local, err := linux.LocalAddr(fd)
	return err == nil && local == to || linux.OriginalDestination(fd) == to
}

// Dialled records a connect of a session, as attempt n of two.
func (o *Own) Dialled(from *Origin, n int, d Dialled) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.dialled == nil {
		o.dialled = map[netip.AddrPort]*Dialled{}
	}
	d.from = from
	from.on[n] = d
	o.dialled[d.Local] = &from.on[n]
}

// Move makes one attempt the other.
func (o *Own) Move(of *Origin, from, to int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	d := of.on[from]
	of.on[from] = Dialled{}
	of.on[to] = d
	if o.dialled[d.Local] == &of.on[from] {
		o.dialled[d.Local] = &of.on[to]
	}
}

// Forget forgets an attempt.
func (o *Own) Forget(of *Origin, n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.dialled[of.on[n].Local] == &of.on[n] {
		delete(o.dialled, of.on[n].Local)
	}
	of.on[n] = Dialled{}
}
