package proxy

import (
	"context"
	"fmt"

	"tcp-proxy/internal/upstream"
)

// Status is a summary of the state of a server.
type Status struct {
	Size
	Alive    int // targets
	Sessions int // open ones
}

// Status returns the current summary.
func (s *Server) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := Status{Sessions: s.workers.Busy()}
	status.Apps, status.Ports, status.Workers = len(s.apps), len(s.ports), s.workers.Max()
	for _, a := range s.apps {
		for _, t := range a.targets.All() {
			status.Targets++
			if t.State() == upstream.Alive {
				status.Alive++
			}
		}
	}
	return status
}

// String returns a text such as "3 apps, 12 ports, 40/42 targets alive, 1034 sessions".
func (s Status) String() string {
	return fmt.Sprintf("%s, %s, %d/%s alive, %s",
		count(s.Apps, "app"), count(s.Ports, "port"), s.Alive, count(s.Targets, "target"), count(s.Sessions, "session"))
}

// Alive returns nil once the engine has shown that it accepts and responds; see relay.Engine.
func (s *Server) Alive(ctx context.Context) error {
	return s.engine.Alive(ctx)
}
