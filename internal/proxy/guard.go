package proxy

import (
	"errors"
	"sync"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/upstream"
)

// guard bars targets that lead back to the proxy and that CheckTargets cannot find: a name gets an address of this
// machine, this machine gets the address of a target, or a session has come back to the proxy.
type guard struct {
	changed  chan struct{}  // wakes the goroutine; its buffer is one
	found    chan cycle     // cycles that sessions have found; when it is full, further ones are dropped
	checking sync.WaitGroup // the goroutine recheckTargets

	mu        sync.Mutex // guards the fields below
	apps      []*app
	configs   []config.App // of apps
	listeners *listeners
	badNames  map[string]unusable // names with addresses that cannot be targets; replaced as a whole
	cycles    map[cycle]time.Time // found by sessions, until when
}

// cycle is a target whose session has come back to an app that it had already passed through.
type cycle struct{ app, target string }

// cycleTTL is how long a cycle that a session has found keeps its target barred. After that, one session may find it
// again.
const cycleTTL = time.Minute

// recheckInterval is the time between two readings of the addresses of this machine.
const recheckInterval = 5 * time.Second

// recheck makes the guard check the targets again. It does not block.
func (g *guard) recheck() {
	select {
	case g.changed <- struct{}{}:
	default:
	}
}

// recheckTargets is the goroutine of the guard. It checks the targets at every change and every recheckInterval,
// until the server stops.
func (s *Server) recheckTargets() {
	tick := time.NewTicker(recheckInterval)
	defer tick.Stop()
	for {
		select {
		case <-s.stopping.Done():
			return
		case c := <-s.guard.found:
			s.guard.addCycle(c)
			s.checkCycles()
		case <-s.guard.changed:
			s.checkCycles()
			s.checkNames()
		case <-tick.C:
			s.checkCycles()
		}
	}
}

// loopDetected is called by the engine when a session has come back. It does not block.
func (s *Server) loopDetected(r *relay.Route, t *upstream.Target) {
	select {
	case s.guard.found <- cycle{r.App, t.Name}:
	default:
	}
}

// addCycle keeps a cycle for cycleTTL.
func (g *guard) addCycle(c cycle) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cycles == nil {
		g.cycles = map[cycle]time.Time{}
	}
	g.cycles[c] = time.Now().Add(cycleTTL)
}

// guardTargets makes the guard check the targets of these apps, now and from now on.
func (s *Server) guardTargets(apps []*app) {
	g := &s.guard
	configs := make([]config.App, len(apps))
	for i, a := range apps {
		configs[i] = a.App
	}
	g.mu.Lock()
	g.apps, g.configs, g.listeners = apps, configs, newListeners(configs, s.inherited)
	g.mu.Unlock()
	s.checkCycles()
	s.checkNames()
}

// checkCycles bars the targets that lead back to their own apps, and no longer bars the others.
func (s *Server) checkCycles() {
	g := &s.guard
	g.mu.Lock()
	defer g.mu.Unlock()
	why := g.targetsInCycles()
	s.own.SetMachine(g.listeners.own)
	for _, a := range g.apps {
		for _, t := range a.targets.All() {
			if reason := why[t]; reason != "" || t.Barred() {
				s.bar(a.Name, t, reason)
			}
		}
	}
}

// bar bars a target, or no longer bars it if why is empty. It ends the sessions of a barred target, because they go
// in a cycle.
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

// targetsInCycles returns the targets that are part of a cycle, each with the reason. In a cycle with names, only the
// targets that are names are at fault: CheckTargets would have refused a cycle of literal addresses. Literal
// addresses are at fault too if they form a cycle by themselves, because this machine got another address. The caller
// holds mu.
func (g *guard) targetsInCycles() map[*upstream.Target]string {
	g.listeners.refresh()
	var named, fixed []*upstream.Target
	var namedEdges, fixedEdges []edge
	for i, a := range g.apps {
		for _, t := range a.targets.All() {
			at, ok := g.listeners.find(t.Addr, t.Path)
			if !ok || t.Down {
				continue
			}
			if _, _, ok := literal(t.Address); ok {
				fixed, fixedEdges = append(fixed, t), append(fixedEdges, edge{i, at.app, at})
			} else {
				named, namedEdges = append(named, t), append(namedEdges, edge{i, at.app, at})
			}
		}
	}
	why := map[*upstream.Target]string{}
	for c, until := range g.cycles {
		if time.Now().After(until) {
			delete(g.cycles, c)
		}
	}
	if len(g.cycles) > 0 {
		for _, a := range g.apps {
			for _, t := range a.targets.All() {
				if _, ok := g.cycles[cycle{a.Name, t.Name}]; ok {
					why[t] = "it " + ErrLeadsBack.Error() + ": a session sent there came back to an app that it had already passed through"
				}
			}
		}
	}
	blame := func(targets []*upstream.Target, edges []edge, closes []bool) {
		for i, t := range targets {
			if closes[i] {
				why[t] = "it " + ErrLeadsBack.Error() + ": " + edges[i].why(g.configs)
			}
		}
	}
	all := append(namedEdges[:len(namedEdges):len(namedEdges)], fixedEdges...)
	blame(named, namedEdges, inCycle(len(g.apps), all))
	blame(fixed, fixedEdges, inCycle(len(g.apps), fixedEdges))
	return why
}
