// Package iocopy is the engine "copy", the reference: an accept goroutine for each port, a worker goroutine for each
// session and one more for its upload, and io.Copy between the two bare connections, which Go splices in the kernel.
//
// What a session does next is decided by package session; a runner (runner.go) reports to it what happens and does the
// rest: accept.go, admission.go, connect.go, pump.go with copy.go and pace.go. Time: deadline.go and quiet.go.
package iocopy

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/upstream"
)

// What the engine holds at most, in descriptors: a session has two sockets and a pipe for each direction, which Go's
// splice takes before there is data; a port has its socket and a duplicate that is polled. Go keeps the pipes of
// sessions that have ended, so a session that races two attempts, and has no pipes yet, may hold a third socket in addition.
const (
	DescriptorsPerSession = 6
	DescriptorsPerRace    = 1
	DescriptorsPerPort    = 2
)

// Descriptors is the most that an engine holds in addition to its sessions and ports: its two epoll instances.
func Descriptors() uint64 { return 2 }

// Engine implements relay.Engine.
type Engine struct {
	workers *admit.Workers
	events  relay.Events
	watch   *linux.ErrorMonitor
	endings *endings
	open    relay.Open
	lastID  atomic.Uint64 // of the session that has begun last

	mu       sync.Mutex // guards what follows
	ports    map[*relay.Port]*listening
	sessions map[uint64]*runner // by ID
}

// New starts an engine that takes its workers from the pool and reports to events.
func New(workers *admit.Workers, events relay.Events) (*Engine, error) {
	watch, err := linux.NewErrorMonitor()
	if err != nil {
		return nil, fmt.Errorf("start engine copy: %w", err)
	}
	endings, err := newEndings()
	if err != nil {
		return nil, fmt.Errorf("start engine copy: %w", errors.Join(err, watch.Close()))
	}
	return &Engine{
		workers:  workers,
		events:   events,
		watch:    watch,
		endings:  endings,
		ports:    map[*relay.Port]*listening{},
		sessions: map[uint64]*runner{},
	}, nil
}

// Control implements relay.Engine.
func (e *Engine) Control(p *relay.Port, f func(fd int) error) error {
	return linux.Control(p.Listener, f)
}

// Wait implements relay.Engine.
func (e *Engine) Wait(ctx context.Context) error { return e.open.Wait(ctx) }

// End implements relay.Engine.
func (e *Engine) End(cause relay.Cause) {
	for _, s := range e.all() {
		s.end(cause, nil)
	}
}

// EndTarget implements relay.Engine.
func (e *Engine) EndTarget(t *upstream.Target, cause relay.Cause) {
	for _, s := range e.all() {
		if s.goesTo(t) {
			s.end(cause, nil)
		}
	}
}

// Sample implements relay.Engine.
func (e *Engine) Sample() {
	for _, s := range e.all() {
		s.sample()
	}
}

// Stop implements relay.Engine.
func (e *Engine) Stop() error { return errors.Join(e.watch.Close(), e.endings.close()) }

// all returns the sessions that are open.
func (e *Engine) all() []*runner {
	e.mu.Lock()
	defer e.mu.Unlock()
	open := make([]*runner, 0, len(e.sessions))
	for _, s := range e.sessions {
		open = append(open, s)
	}
	return open
}

func (e *Engine) add(s *runner) {
	e.open.Enter()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sessions[s.id] = s
}

func (e *Engine) remove(s *runner) {
	e.mu.Lock()
	delete(e.sessions, s.id)
	e.mu.Unlock()
	e.open.Leave()
}
