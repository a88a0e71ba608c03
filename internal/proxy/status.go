package proxy

import (
	"context"
	"fmt"

	"tcp-proxy/internal/upstream"
)

// Status is how a server is doing.
type Status struct {
	Size
	Alive    int // targets that are
	Sessions int // that are open
}

// Status tells how the server is doing now.
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

// String is such as "3 apps, 12 ports, 40/42 targets alive, 1034 sessions".
func (s Status) String() string {
	return fmt.Sprintf("%s, %s, %d/%s alive, %s",
		count(s.Apps, "app"), count(s.Ports, "port"), s.Alive, count(s.Targets, "target"), count(s.Sessions, "session"))
}

// Alive returns nil once the server has shown that it accepts and that its engine answers; see relay.Engine.
func (s *Server) Alive(ctx context.Context) error {
	return s.engine.Alive(ctx)
}
