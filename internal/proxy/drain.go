package proxy

import (
	"fmt"

	"tcp-proxy/internal/logging"
	"tcp-proxy/internal/upstream"
)

// Drain makes the server report that it is not ready, so that load balancers send no more clients; it still serves
// those that come. Drain(false) undoes that. Reloads do not change it.
func (s *Server) Drain(on bool) {
	if s.draining.Swap(on) == on {
		return
	}
	text := "draining: still serving, but reporting not ready"
	if !on {
		text = "no longer draining: ready"
	}
	s.log.Info(text, nil)
	s.history.note(Event{Kind: EventDraining, Text: text})
}

// DrainTarget keeps new sessions from a target of an app, while open ones continue, or undoes that. name is the name
// of the target, or its address in the configuration, which may be several targets. The target stays drained, through
// reloads, until that is undone.
func (s *Server) DrainTarget(appName, name string, on bool) error {
	s.mu.Lock()
	apps := s.apps
	s.mu.Unlock()
	for _, a := range apps {
		if a.Name != appName {
			continue
		}
		found := false
		for _, t := range a.targets.All() {
			if t.Name != name && t.Address.String() != name {
				continue
			}
			found = true
			before := t.State()
			t.Drain(on)
			if t.State() == before && before != upstream.Down {
				continue
			}
			text := "target is draining: it takes no new sessions"
			if !on {
				text = "target takes new sessions again"
			}
			s.log.Info(text, logging.Fields{"app": appName, "target": t.Name})
			s.history.note(Event{Kind: EventTargetDrained, App: appName, Target: t.Name, Text: text})
		}
		if !found {
			return fmt.Errorf("target %q of app %q: %w", name, appName, ErrNoTarget)
		}
		return nil
	}
	return fmt.Errorf("app %q: %w", appName, ErrNoApp)
}
