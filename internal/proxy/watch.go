package proxy

import (
	"context"
	"slices"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/logging"
	"tcp-proxy/internal/probe"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/sanitize"
	"tcp-proxy/internal/upstream"
)

// firstLookupTimeout bounds how long a reload waits for the first answers about new names. Sessions that come before there is
// an answer wait for it too.
const firstLookupTimeout = 2 * time.Second

// resolve starts looking up the names of targets that are new in the plan, and waits for the first answers, so that targets
// have addresses when the plan is committed.
func (p *plan) resolve(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, firstLookupTimeout)
	defer cancel()
	var sets []*upstream.Set
	for _, a := range p.apps {
		if len(a.targets.Names()) > 0 && !slices.Contains(p.server.apps, a) {
			p.server.startResolving(a)
			sets = append(sets, a.targets)
		}
	}
	for _, set := range sets {
		p.server.resolver.Await(ctx, set)
	}
}

// startResolving keeps the targets of an app up to date with the addresses of their names.
func (s *Server) startResolving(a *app) {
	s.resolver.Watch(a.targets, func() {
		s.prober.Refresh(a.Name)
		s.guard.wake()
	})
}

// resolveAgain undoes resolve: the names of the server's apps are looked up again, and not those of the plan.
func (p *plan) resolveAgain() {
	p.stopResolving(p.apps, p.server.apps)
	for _, a := range p.server.apps {
		if len(a.targets.Names()) > 0 && !slices.Contains(p.apps, a) {
			p.server.startResolving(a)
		}
	}
}

// stopResolving stops looking up the names of apps whose targets none of the kept apps has.
func (p *plan) stopResolving(apps, kept []*app) {
	sets := map[*upstream.Set]bool{}
	for _, a := range kept {
		sets[a.targets] = true
	}
	for _, a := range apps {
		if !sets[a.targets] && len(a.targets.Names()) > 0 {
			p.server.resolver.Forget(a.targets)
		}
	}
}

// startProbing has the targets of the plan, which was committed, probed as it says, and stops probing and looking up those
// that it does not have. before are the apps from before the plan.
func (p *plan) startProbing(before []*app) {
	s := p.server
	kept := map[string]bool{}
	for _, a := range p.apps {
		kept[a.Name] = true
	}
	was := map[string]*app{}
	for _, b := range before {
		was[b.Name] = b
		if !kept[b.Name] {
			s.prober.Forget(b.Name)
		}
	}
	for _, a := range p.apps {
		if was[a.Name] == a {
			continue
		}
		if a.Probe.When == config.ProbeNever {
			s.prober.Forget(a.Name)
		} else {
			s.prober.Monitor(a.Name, a.targets, probe.Config{Probe: a.Probe, Source: a.SourceAddress, SendProxy: a.route.SendProxy})
		}
	}
	p.stopResolving(before, p.apps)
}

// probed is told when a probe has changed what a target is.
func (s *Server) probed(name string, t *upstream.Target, change upstream.Change, err error) {
	switch change {
	case upstream.Died:
		s.targetDead(name, t, err)
		if a := s.app(name); a != nil && a.OnDead == config.OnDeadClose {
			s.engine.EndTarget(t, relay.TargetDead)
		}
	case upstream.Back:
		s.targetAlive(name, t, "its probes pass")
	}
}

// app gives the app of that name, or nil.
func (s *Server) app(name string) *app {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.apps {
		if a.Name == name {
			return a
		}
	}
	return nil
}

// nameChanged is called when looking up a name begins to fail, with the error, and when it works again.
func (s *Server) nameChanged(name config.Address, err error, since time.Time) {
	fields := logging.Fields{"name": name.String()}
	if err == nil {
		fields[logging.EventKey], fields["after"] = logging.NameBack, time.Since(since).Round(time.Millisecond).String()
		s.log.Throttled(nameState, name.String(), logging.Info, "name lookup works again", fields)
		s.history.note(Event{Kind: EventNameBack, Target: name.String(), Text: "name lookup works again"})
		return
	}
	fields[logging.EventKey], fields[logging.ErrorKey] = logging.NameFailing, err
	s.log.Throttled(nameState, name.String(), logging.Warn, "name lookup failed; keeping the last answer", fields)
	s.history.note(Event{Kind: EventNameFailing, Target: name.String(), Text: "name lookup failed", Reason: err.Error()})
}

// names tells what is known of the names of targets.
func (s *Server) names() []Name {
	answers := s.resolver.Snapshot()
	useless := s.guard.uselessNames()
	names := make([]Name, len(answers))
	for i, a := range answers {
		n := Name{
			Name: a.Name.String(), Addresses: []string{}, Refreshed: a.Refreshed, Expires: a.Expires, Since: a.Since,
			Overdue: a.Overdue.Seconds(),
		}
		for _, e := range a.Endpoints {
			if config.CheckEndpoint(e.Addr) == nil {
				n.Addresses = append(n.Addresses, e.Addr.String())
			}
		}
		if u, ok := useless[n.Name]; ok {
			n.Problem, n.Since = u.why, u.since
		}
		if a.Err != nil {
			n.Problem, n.Since = sanitize.Text(a.Err.Error(), mostText), a.Since
		}
		names[i] = n
	}
	return names
}
