package proxy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/logging"
	"tcp-proxy/internal/resolve"
	"tcp-proxy/internal/sanitize"
	"tcp-proxy/internal/upstream"
)

// firstLookupTimeout bounds how long a reload waits for the first answers of new names. Sessions that come before the
// first answer wait for it too.
const firstLookupTimeout = 2 * time.Second

// resolve starts to look up the names of new targets, and waits for the first answers, so that targets have addresses
// when the plan is committed.
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

// startResolving keeps the addresses of the names of an app up to date.
func (s *Server) startResolving(a *app) {
	s.resolver.Subscribe(a.targets, func() {
		s.prober.Refresh(a.Name)
		s.guard.recheck()
	})
}

// resumeResolving undoes resolve: it stops looking up the names of the plan, and looks up those of the running apps
// again.
func (p *plan) resumeResolving() {
	p.stopResolving(p.apps, p.server.apps)
	for _, a := range p.server.apps {
		if len(a.targets.Names()) > 0 && !slices.Contains(p.apps, a) {
			p.server.startResolving(a)
		}
	}
}

// stopResolving stops looking up the names of apps, except those whose targets a kept app has too.
func (p *plan) stopResolving(apps, kept []*app) {
	sets := map[*upstream.Set]bool{}
	for _, a := range kept {
		sets[a.targets] = true
	}
	for _, a := range apps {
		if !sets[a.targets] && len(a.targets.Names()) > 0 {
			p.server.resolver.Unsubscribe(a.targets)
		}
	}
}

// nameChanged is called when looking up a name begins to fail, and when it works.
func (s *Server) nameChanged(a resolve.Answer) {
	name := a.Name.String()
	fields := logging.Fields{"name": name}
	if a.Err == nil {
		text := "name lookup works again"
		if a.First {
			text = "name lookup works; the name has its first addresses"
		}
		fields[logging.EventKey], fields["after"] = logging.NameBack, time.Since(a.Since).Round(time.Millisecond).String()
		s.log.Throttled(nameState, name, logging.Info, text, fields)
		s.history.note(Event{Kind: EventNameBack, Target: name, Text: text})
		return
	}
	text := "name lookup failed; keeping the last answer"
	switch {
	case len(a.Endpoints) == 0:
		text = "name lookup failed; the name has no address yet, and is no target until a lookup succeeds; retrying"
	case a.Partial:
		text = "name lookup is incomplete; using the addresses that are known"
	}
	fields[logging.EventKey], fields[logging.ErrorKey] = logging.NameFailing, a.Err
	s.log.Throttled(nameState, name, logging.Warn, text, fields)
	s.history.note(Event{Kind: EventNameFailing, Target: name, Text: text, Reason: a.Err.Error()})
}

// names returns the state of all names of targets.
func (s *Server) names() []Name {
	answers := s.resolver.Snapshot()
	badNames := s.guard.unusableNames()
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
		if u, ok := badNames[n.Name]; ok {
			n.Problem, n.Since, n.Partial = u.why, u.since, true
		}
		if a.Err != nil {
			n.Problem, n.Since, n.Partial = sanitize.Text(a.Err.Error(), maxText), a.Since, a.Partial
		}
		names[i] = n
	}
	return names
}

// unusable says why addresses of a name cannot be targets.
type unusable struct {
	why   string
	since time.Time
}

// checkNames finds the names with addresses that cannot be targets, and reports when that begins and ends.
func (s *Server) checkNames() {
	g := &s.guard
	found := map[string]unusable{}
	for _, a := range s.resolver.Snapshot() {
		if why := whyUnusable(a.Endpoints); why != "" {
			found[a.Name.String()] = unusable{why, time.Now()}
		}
	}
	g.mu.Lock()
	before := g.badNames
	for name, u := range found {
		if was, ok := before[name]; ok {
			u.since = was.since
			found[name] = u
		}
	}
	g.badNames = found
	g.mu.Unlock()
	for name, u := range found {
		if _, ok := before[name]; !ok {
			const text = "name has addresses that cannot be targets; ignoring them"
			s.log.Throttled(nameState, "addresses of "+name, logging.Warn, text, logging.Fields{logging.EventKey: logging.NameFailing, "name": name, logging.ErrorKey: u.why})
			s.history.note(Event{Kind: EventNameFailing, Target: name, Text: text, Reason: u.why})
		}
	}
	for name := range before {
		if _, ok := found[name]; !ok {
			const text = "all addresses of the name can be targets again"
			s.log.Throttled(nameState, "addresses of "+name, logging.Info, text, logging.Fields{logging.EventKey: logging.NameBack, "name": name})
			s.history.note(Event{Kind: EventNameBack, Target: name, Text: text})
		}
	}
}

// unusableNames returns the names with addresses that cannot be targets. The map must not be changed.
func (g *guard) unusableNames() map[string]unusable {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.badNames
}

// whyUnusable returns why endpoints cannot be targets, for the first few of them.
func whyUnusable(endpoints []upstream.Endpoint) string {
	const maxReasons = 3
	var why []string
	more := 0
	for _, e := range endpoints {
		switch err := config.CheckEndpoint(e.Addr); {
		case err == nil:
		case len(why) < maxReasons:
			why = append(why, err.Error())
		default:
			more++
		}
	}
	if more > 0 {
		why = append(why, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(why, "; ")
}
