package proxy

import (
	"fmt"

	"tcp-proxy/internal/logging"
	"tcp-proxy/internal/upstream"
)

// Drain has the server say that it is not ready, so that nobody sends it more; it serves who comes all the same. Or it
// takes that back. What a reload changes does not matter for it.
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

// DrainTarget keeps new sessions from an app's target, while those that are open go on; or takes that back. The target
// goes by its own name or by the address that the configuration has, which may stand for several. It holds until it is
// taken back, reloads included.
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
