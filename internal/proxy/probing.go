package proxy

import (
	"tcp-proxy/internal/config"
	"tcp-proxy/internal/probe"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/upstream"
)

// startProbing starts to probe the targets of a committed plan, and stops to probe and look up targets that it no
// longer has. before are the apps before the plan.
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

// probed is called when a probe has changed the state of a target.
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

// app returns the app with this name, or nil.
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
