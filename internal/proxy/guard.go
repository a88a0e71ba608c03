package proxy

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/logging"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/upstream"
)

// guard keeps sessions from targets that lead back to the proxy, which CheckTargets cannot see: a name gets an address of
// this machine, or this machine the address of a target; or a session has come back, for whatever reason. It also tells of names with addresses that cannot be targets.
type guard struct {
	woken    chan struct{}  // has room for one: something has changed
	found    chan circle    // sessions that have come back; when it is full, others are not told
	checking sync.WaitGroup // the goroutine

	mu        sync.Mutex // guards what follows
	apps      []*app
	configs   []config.App // of the same
	listeners *listeners
	useless   map[string]unusable  // by name; it is replaced, not changed
	circles   map[circle]time.Time // that were found: until when they count
}

// circle is a target, of an app, whose connection has come back to an app that it had come by.
type circle struct{ app, target string }

// circleCounts is for how long a circle that was found keeps its target barred: then one session may find it again.
const circleCounts = time.Minute

// unusable is what is wrong with addresses of a name.
type unusable struct {
	why   string
	since time.Time
}

// recheckInterval is how often the addresses of this machine are read again.
const recheckInterval = 5 * time.Second

// wake has the guard check the targets again. It does not block.
func (g *guard) wake() {
	select {
	case g.woken <- struct{}{}:
	default:
	}
}

// watchTargets looks whenever something has changed, and now and then, until the server stops.
func (s *Server) watchTargets() {
	tick := time.NewTicker(recheckInterval)
	defer tick.Stop()
	for {
		select {
		case <-s.stopping.Done():
			return
		case c := <-s.guard.found:
			s.guard.remember(c)
			s.checkCircles()
		case <-s.guard.woken:
			s.checkCircles()
			s.checkNames()
		case <-tick.C:
			s.checkCircles()
		}
	}
}

// loopDetected is told of a session that has come back. It must not block.
func (s *Server) loopDetected(r *relay.Route, t *upstream.Target) {
	select {
	case s.guard.found <- circle{r.App, t.Name}:
	default:
	}
}

// remember has a circle count for a while.
func (g *guard) remember(c circle) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.circles == nil {
		g.circles = map[circle]time.Time{}
	}
	g.circles[c] = time.Now().Add(circleCounts)
}

// protect has the guard check the targets of apps from now on, beginning at once.
func (s *Server) protect(apps []*app) {
	g := &s.guard
	configs := make([]config.App, len(apps))
	for i, a := range apps {
		configs[i] = a.App
	}
	g.mu.Lock()
	g.apps, g.configs, g.listeners = apps, configs, newListeners(configs, s.inherited)
	g.mu.Unlock()
	s.checkCircles()
	s.checkNames()
}

// checkCircles bars the targets that lead back to the apps that they belong to, and no longer bars the others.
func (s *Server) checkCircles() {
	g := &s.guard
	g.mu.Lock()
	defer g.mu.Unlock()
	why := g.leadBack()
	s.own.SetMachine(g.listeners.own)
	for _, a := range g.apps {
		for _, t := range a.targets.All() {
			if reason := why[t]; reason != "" || t.Barred() {
				s.bar(a.Name, t, reason)
			}
		}
	}
}

// bar bars a target, or not any more. Its sessions, which go in a circle, are ended.
func (s *Server) bar(app string, t *upstream.Target, why string) {
	switch {
	case !t.Bar(why):
	case why != "":
		s.targetDead(app, t, errors.New(why))
		s.engine.EndTarget(t, relay.TargetDead)
	default:
		s.prober.CheckNow(t)
		if t.State() == upstream.Alive {
			s.targetAlive(app, t, "it no longer leads back to this proxy")
		}
	}
}

// leadBack finds the targets that are part of a circle, and says what is wrong with each. In a circle that a name closes
// it is the targets of names that are to blame: the others are in no circle of their own, or CheckTargets would have
// refused them. Where those are not, because this machine has got another address, they are to blame as well. The caller
// holds mu.
func (g *guard) leadBack() map[*upstream.Target]string {
	g.listeners.refresh()
	var named, fixed []*upstream.Target
	var namedWays, fixedWays []way
	for i, a := range g.apps {
		for _, t := range a.targets.All() {
			at, ok := g.listeners.reached(t.Addr, t.Path)
			if !ok || t.Down {
				continue
			}
			if _, _, ok := literal(t.Address); ok {
				fixed, fixedWays = append(fixed, t), append(fixedWays, way{i, at.app, at})
			} else {
				named, namedWays = append(named, t), append(namedWays, way{i, at.app, at})
			}
		}
	}
	why := map[*upstream.Target]string{}
	for c, until := range g.circles {
		if time.Now().After(until) {
			delete(g.circles, c)
		}
	}
	if len(g.circles) > 0 {
		for _, a := range g.apps {
			for _, t := range a.targets.All() {
				if _, ok := g.circles[circle{a.Name, t.Name}]; ok {
					why[t] = "it " + ErrLeadsBack.Error() + ": a session sent there came back to an app that it had already passed through"
				}
			}
		}
	}
	blame := func(targets []*upstream.Target, ways []way, closes []bool) {
		for i, t := range targets {
			if closes[i] {
				why[t] = "it " + ErrLeadsBack.Error() + ": " + ways[i].why(g.configs)
			}
		}
	}
	all := append(namedWays[:len(namedWays):len(namedWays)], fixedWays...)
	blame(named, namedWays, circular(len(g.apps), all))
	blame(fixed, fixedWays, circular(len(g.apps), fixedWays))
	return why
}

// checkNames finds the names that have addresses to which no connection can go, and tells when that begins and ends.
func (s *Server) checkNames() {
	g := &s.guard
	found := map[string]unusable{}
	for _, a := range s.resolver.Snapshot() {
		if why := uselessOf(a.Endpoints); why != "" {
			found[a.Name.String()] = unusable{why, time.Now()}
		}
	}
	g.mu.Lock()
	before := g.useless
	for name, u := range found {
		if was, ok := before[name]; ok {
			u.since = was.since
			found[name] = u
		}
	}
	g.useless = found
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

// uselessNames gives the names that have addresses to which no connection can go.
func (g *guard) uselessNames() map[string]unusable {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.useless
}

// uselessOf says why some endpoints cannot be targets, the first few of them.
func uselessOf(endpoints []upstream.Endpoint) string {
	const told = 3
	var why []string
	more := 0
	for _, e := range endpoints {
		switch err := config.CheckEndpoint(e.Addr); {
		case err == nil:
		case len(why) < told:
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
