package proxy

import (
	"context"
	"fmt"

	"tcp-proxy/internal/upstream"
)

// Status is a summary of the state of a server.
type Status struct {
	Size
	Alive    int // targets that have shown that they work
	Untested int // targets of which that is not known yet: upstream.Target.Untested
	Sessions int // open ones
}

// Status returns the current summary.
func (s *Server) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := Status{Sessions: s.workers.Busy()}
	status.Apps, status.Workers = len(s.apps), s.workers.Max()
	for key := range s.ports {
		if key.Index == 0 { // a port may have several sockets
			status.Ports++
		}
	}
	for _, a := range s.apps {
		for _, t := range a.targets.All() {
			status.Targets++
			switch {
			case t.Untested():
				status.Untested++
			case t.State() == upstream.Alive:
				status.Alive++
			}
		}
	}
	return status
}

// String returns a text such as "3 apps, 12 ports, 38/42 targets alive, 2 untested, 1034 sessions".
func (s Status) String() string {
	targets := "0 targets" // no name has an address yet
	if s.Targets > 0 {
		targets = fmt.Sprintf("%d/%s alive", s.Alive, count(s.Targets, "target"))
	}
	if s.Untested > 0 {
		targets += fmt.Sprintf(", %d untested", s.Untested)
	}
	return fmt.Sprintf("%s, %s, %s, %s", count(s.Apps, "app"), count(s.Ports, "port"), targets, count(s.Sessions, "session"))
}

// Alive returns nil once the engine has shown that it accepts and responds; see relay.Engine.
func (s *Server) Alive(ctx context.Context) error {
	return s.engine.Alive(ctx)
}
