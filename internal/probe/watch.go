package probe

import (
	"fmt"
	"net/netip"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/proxyproto"
	"tcp-proxy/internal/upstream"
)

// watch is how the targets of one app are checked.
type watch struct {
	app    string
	set    *upstream.Set
	manner Manner
	header []byte // of the PROXY protocol; empty if there is none, or nothing is said
	checks map[*upstream.Target]*check

	unconnected, unanswered error // what is wrong with a target that is silent
}

// endpoint is where a target is: what it keeps when its set is made anew.
type endpoint struct {
	addr netip.AddrPort
	path string
}

// checkable reports whether there is something to check: a target that is down takes no sessions, and one that has no
// address cannot be reached.
func checkable(t *upstream.Target) bool { return !t.Down && (t.Addr.IsValid() || t.Path != "") }

func endpointOf(t *upstream.Target) endpoint { return endpoint{t.Addr, t.Path} }

func newWatch(app string, manner Manner) *watch {
	w := &watch{
		app: app, manner: manner, checks: map[*upstream.Target]*check{},
		unconnected: upstream.NoAnswer(manner.Timeout),
		unanswered:  fmt.Errorf("connected, but %w", upstream.NoAnswer(manner.Timeout)),
	}
	if manner.SendProxy != 0 && manner.Port == 0 && (w.asks() || w.listens()) {
		w.header, _ = proxyproto.Append(nil, manner.SendProxy, proxyproto.Header{Local: true}) // no address, no error
	}
	return w
}

// asks reports whether a check has something of its own to send.
func (w *watch) asks() bool { return w.manner.Send != "" || w.http() }

// speaks reports whether a check sends anything.
func (w *watch) speaks() bool { return len(w.header) > 0 || w.asks() }

// listens reports whether a check waits for an answer.
func (w *watch) listens() bool { return w.manner.Expect != "" || w.http() }

func (w *watch) http() bool { return w.manner.HTTP != config.HTTPProbe{} }

func (p *Prober) watch(app string, set *upstream.Set, manner Manner) {
	w := p.watches[app]
	if w != nil && w.manner != manner {
		p.forget(app)
		w = nil
	}
	if manner.When == config.ProbeNever {
		return
	}
	if w == nil {
		w = newWatch(app, manner)
		p.watches[app] = w
	}
	w.set = set
	p.reconcile(w)
}

// reconcile makes the checks of w those of its set's endpoints. A check goes on with the target that has taken the place
// of its own.
func (p *Prober) reconcile(w *watch) {
	all := w.set.All()
	gone := w.checks
	w.checks = make(map[*upstream.Target]*check, len(all))
	keep := func(c *check, t *upstream.Target) {
		delete(gone, c.target)
		p.strike(c)
		c.target = t
		w.checks[t], p.checks[t.Identity()] = c, c
	}
	for _, t := range all {
		if c := gone[t]; c != nil {
			keep(c, t)
		}
	}
	byPlace := make(map[endpoint]*check, len(gone))
	for t, c := range gone {
		byPlace[endpointOf(t)] = c
	}
	for _, t := range all {
		switch c := byPlace[endpointOf(t)]; {
		case w.checks[t] != nil || !checkable(t):
		case c != nil && gone[c.target] == c:
			keep(c, t)
		default:
			keep(&check{watch: w, target: t, place: unscheduled, fd: noSocket}, t)
		}
	}
	for _, c := range gone {
		p.drop(c)
	}
	for _, c := range w.checks {
		if c.phase == parked && c.wanted() {
			p.rest(c, p.now)
		}
	}
}

func (p *Prober) forget(app string) {
	w := p.watches[app]
	if w == nil {
		return
	}
	delete(p.watches, app)
	for _, c := range w.checks {
		p.drop(c)
	}
}

// wake has the check of t made at once. A session that has found t dead may have it from a set that another has replaced:
// then it is the target that has taken its place.
func (p *Prober) wake(t *upstream.Target) {
	if c := p.checks[t.Identity()]; c != nil {
		p.hurry(c)
	}
}

// strike has the target of c not be found by it any more.
func (p *Prober) strike(c *check) {
	if id := c.target.Identity(); p.checks[id] == c {
		delete(p.checks, id)
	}
}

// hurry has a check made at once that is wanted and not under way.
func (p *Prober) hurry(c *check) {
	switch c.phase {
	case parked, resting:
		if c.wanted() {
			p.reset(c)
			p.rest(c, p.now)
		}
	}
}
