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
	if stage := s.Stage(); stage == Starting || stage == Stopping {
		text = map[bool]string{true: "draining", false: "no longer draining"}[on] + "; not ready in any case while " + string(stage)
	}
	s.log.Info(text, nil)
	s.history.note(Event{Kind: EventDraining, Text: text})
}

// undrained says what a target does that is no longer drained, by its state.
var undrained = map[upstream.State]string{
	upstream.Alive:    "target takes new sessions again",
	upstream.Dead:     "target is no longer drained; it is dead",
	upstream.Down:     "target is no longer drained; the configuration has it down",
	upstream.Draining: "target is no longer drained", // and then drained again
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
			if !isTarget(t, name) {
				continue
			}
			found = true
			if !t.Drain(on) {
				continue
			}
			text := "target is draining: it takes no new sessions"
			if !on {
				text = undrained[t.State()]
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
