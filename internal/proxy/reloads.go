package proxy

import (
	"sync"
	"time"

	"tcp-proxy/internal/config"
)

// reloads counts attempts to load a configuration. It is safe for concurrent use.
type reloads struct {
	mu    sync.Mutex // guards count
	count Reloads
}

func (r *reloads) succeeded() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count.Succeeded++
	r.count.LastSuccess, r.count.Problem = time.Now(), ""
}

func (r *reloads) refused(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count.Refused++
	r.count.Problem = config.FirstLines(err)
}

func (r *reloads) read() Reloads {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// reloaded notes that a new configuration is active.
func (s *Server) reloaded(changes Changes) {
	s.reloads.succeeded()
	s.history.note(Event{Kind: EventReloaded, Text: "reloaded: " + changes.String()})
}

// ReloadRefused notes a reload that failed; err is the error of Apply or of an earlier step.
func (s *Server) ReloadRefused(err error) {
	s.reloads.refused(err)
	s.history.note(Event{Kind: EventReloadRefused, Text: "reload refused, keeping the current configuration", Reason: config.Brief(err)})
}
