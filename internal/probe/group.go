package probe

import (
	"fmt"
	"net/netip"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/proxyproto"
	"tcp-proxy/internal/upstream"
)

// group is the checks of one app's targets.
type group struct {
	app    string
	set    *upstream.Set
	config Config
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

func newGroup(app string, c Config) *group {
	g := &group{
		app: app, config: c, checks: map[*upstream.Target]*check{},
		unconnected: upstream.NoAnswer(c.Timeout),
		unanswered:  fmt.Errorf("connected, but %w", upstream.NoAnswer(c.Timeout)),
	}
	if c.SendProxy != 0 && c.Port == 0 && (g.sendsRequest() || g.reads()) {
		g.header, _ = proxyproto.Append(nil, c.SendProxy, proxyproto.Header{Local: true}) // no address, no error
	}
	return g
}

// sendsRequest reports whether a check has more to send than a PROXY header.
func (g *group) sendsRequest() bool { return g.config.Send != "" || g.isHTTP() }

// sends reports whether a check sends anything.
func (g *group) sends() bool { return len(g.header) > 0 || g.sendsRequest() }

// reads reports whether a check waits for an answer.
func (g *group) reads() bool { return g.config.Expect != "" || g.isHTTP() }

func (g *group) isHTTP() bool { return g.config.HTTP != config.HTTPProbe{} }

func (p *Prober) monitor(app string, set *upstream.Set, c Config) {
	g := p.groups[app]
	if g != nil && g.config != c {
		p.forget(app)
		g = nil
	}
	if c.When == config.ProbeNever {
		return
	}
	if g == nil {
		g = newGroup(app, c)
		p.groups[app] = g
	}
	g.set = set
	p.reconcile(g)
}

// reconcile makes the checks of g those of its set's endpoints. A check goes on with the target that has replaced its
// own.
func (p *Prober) reconcile(g *group) {
	all := g.set.All()
	left := g.checks
	g.checks = make(map[*upstream.Target]*check, len(all))
	keep := func(c *check, t *upstream.Target) {
		delete(left, c.target)
		p.unlist(c)
		c.target = t
		g.checks[t], p.checks[t.Identity()] = c, c
	}
	for _, t := range all {
		if c := left[t]; c != nil {
			keep(c, t)
		}
	}
	byEndpoint := make(map[endpoint]*check, len(left))
	for t, c := range left {
		byEndpoint[endpointOf(t)] = c
	}
	for _, t := range all {
		switch c := byEndpoint[endpointOf(t)]; {
		case g.checks[t] != nil || !checkable(t):
		case c != nil && left[c.target] == c:
			keep(c, t)
		default:
			c = &check{group: g, target: t, fd: noSocket}
			c.number = p.number(c)
			keep(c, t)
		}
	}
	for _, c := range left {
		p.drop(c)
	}
	for _, c := range g.checks {
		if c.phase == parked && c.wanted() {
			p.enqueue(c)
		}
	}
}

func (p *Prober) forget(app string) {
	g := p.groups[app]
	if g == nil {
		return
	}
	delete(p.groups, app)
	for _, c := range g.checks {
		p.drop(c)
	}
}

// checkNow makes the check of t due at once. A session that has found t dead may have it from a set that another has
// replaced: then the target that has its endpoint now is checked.
func (p *Prober) checkNow(t *upstream.Target) {
	c := p.checks[t.Identity()]
	if c == nil || c.phase != parked && c.phase != resting || !c.wanted() {
		return
	}
	p.reactor.Disarm(c.number)
	p.enqueue(c)
}

// unlist takes the check out of those that are found by their target.
func (p *Prober) unlist(c *check) {
	if id := c.target.Identity(); p.checks[id] == c {
		delete(p.checks, id)
	}
}
