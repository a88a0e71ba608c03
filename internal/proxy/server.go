// Package proxy is the server: it listens on the ports of every app, passes each connection to an engine with the
// route of the app, and accounts for each session. It does not depend on signals, HTTP or systemd.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/config"
	"tcp-proxy/internal/listen"
	"tcp-proxy/internal/logging"
	"tcp-proxy/internal/probe"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/resolve"
)

// Server runs a configuration. Call New, then Start, then Apply (or Prepare and Commit) any number of times, and
// finally Stop; one call at a time.
type Server struct {
	log       *logging.Logger
	workers   *admit.Workers
	engine    relay.Engine
	inherited []listen.Inherited
	name      string // of the engine, which a reload does not change
	initial   *plan  // prepared by New, until Start

	prober   *probe.Prober
	resolver *resolve.Resolver
	guard    guard
	own      relay.Own
	closing  sync.WaitGroup  // ports that retire will close
	stopping context.Context // done once Stop or Stopping was called
	stop     context.CancelFunc

	recordOneIn    atomic.Int64  // one session in so many that end well has a record in the log; 0: none
	endedWellCount atomic.Uint64 // sessions that ended well
	reloads        reloads
	history        history
	draining       atomic.Bool
	failing        sync.Map // *relay.Port → text of the error of accept
	acceptPauses   atomic.Uint64
	shortages      shortages

	mu      sync.Mutex // guards the fields below for readers; only commit and Start change them
	cfg     *config.Config
	apps    []*app
	ports   map[listen.Key]*port
	started time.Time // zero before Start
}

// New makes a server with a configuration and listens on every port, without accepting yet. It does not listen on a
// port that an inherited socket serves. All ports that it cannot listen on are one error. On error, New closes
// everything except the inherited sockets, which belong to the server only if there is no error. It gives up when the
// context is done.
func New(ctx context.Context, cfg *config.Config, log *logging.Logger, inherited []listen.Inherited) (*Server, error) {
	s := &Server{
		log:       log,
		workers:   admit.NewWorkers(cfg.MaxWorkers),
		inherited: inherited,
		name:      cfg.Engine,
		ports:     map[listen.Key]*port{},
		guard:     guard{changed: make(chan struct{}, 1), found: make(chan cycle, 16)},
	}
	s.stopping, s.stop = context.WithCancel(context.Background())
	s.workers.OnFull, s.workers.OnFree = s.poolFull, s.poolFree
	var err error
	if s.prober, err = probe.New(s.probed); err != nil {
		return nil, fmt.Errorf("start probing: %w", err)
	}
	if s.engine, err = engines[cfg.Engine].start(s.workers, s.events()); err != nil {
		return nil, errors.Join(err, s.prober.Close())
	}
	s.resolver = resolve.New(s.nameChanged)
	if s.initial, err = s.prepare(ctx, cfg); err != nil {
		return nil, errors.Join(err, s.release())
	}
	return s, nil
}

// Start accepts on every port. On error nothing is accepted, and Stop must still be called.
func (s *Server) Start() error {
	p := s.initial
	s.initial = nil
	s.guardTargets(p.apps) // before anybody can connect
	if err := p.open(); err != nil {
		return err
	}
	s.activate(p)
	s.guard.checking.Go(s.recheckTargets)
	s.reloads.succeeded()
	s.mu.Lock()
	s.started = time.Now()
	s.mu.Unlock()
	s.history.note(Event{Kind: EventStarted, Text: "started: " + SizeOf(p.cfg).String()})
	for _, i := range s.unusedInherited() {
		s.log.Warn(fmt.Sprintf("no app uses the inherited socket %s; its connections will hang", i), nil)
	}
	return nil
}

// Apply is Prepare and Commit in one call.
func (s *Server) Apply(cfg *config.Config) (Changes, error) {
	p, err := s.Prepare(context.Background(), cfg)
	if err != nil {
		return Changes{}, err
	}
	return p.Commit()
}

// Plan is a prepared change to another configuration. It must be followed by either Commit or Abandon.
type Plan struct {
	server  *Server
	changes Changes
	plan    *plan // nil: the configuration means the same
}

// Prepare does everything slow in a change to another configuration: it listens on new ports, without accepting, and
// looks up names. It may take until the context is done. Whatever the configuration does not change continues:
// listening sockets, sessions, and the state of targets. Open sessions keep the policy that they began with, even if
// their port or target is removed. A configuration that means the same changes nothing. On error everything is as
// before. Stop may be called during Prepare once the context is done; the plan must not be used then.
func (s *Server) Prepare(ctx context.Context, cfg *config.Config) (*Plan, error) {
	p := &Plan{server: s, changes: ChangesOf(s.cfg, cfg)}
	if p.changes.Nothing() && cfg.Engine == s.cfg.Engine {
		return p, nil
	}
	var err error
	p.plan, err = s.prepare(ctx, cfg)
	return p, err
}

// Commit makes the configuration the active one. On error nothing has changed.
func (p *Plan) Commit() (Changes, error) {
	if p.plan != nil {
		if err := p.plan.open(); err != nil {
			return Changes{}, err
		}
		// From here on nothing can fail.
		p.server.activate(p.plan)
	}
	p.server.reloaded(p.changes)
	return p.changes, nil
}

// Abandon undoes Prepare.
func (p *Plan) Abandon() error {
	if p.plan == nil {
		return nil
	}
	return p.plan.abandon()
}

// activate commits an opened plan.
func (s *Server) activate(p *plan) {
	before := s.apps
	if err := p.commit(); err != nil {
		s.log.Warn("closing a removed port failed", logging.Fields{logging.ErrorKey: err})
	}
	p.logInherited()
	s.guardTargets(p.apps)
	p.startProbing(before)
}

// Stopping makes the server report that it is about to stop. Stop calls it too.
func (s *Server) Stopping() {
	if s.stopping.Err() == nil {
		s.history.note(Event{Kind: EventStopping, Text: "stopping: no new sessions"})
		s.stop()
	}
}

// Stop closes every port, lets open sessions go on until the context is done, resets the remaining ones, and returns
// when everything is released. Their cause is relay.Drained if the deadline of the context has passed, and relay.Stopped
// if the context was cancelled.
func (s *Server) Stop(ctx context.Context) error {
	var errs []error
	if s.initial != nil {
		errs = append(errs, s.initial.abandon())
	}
	s.Stopping()
	s.guard.checking.Wait()
	for _, p := range s.ports {
		errs = append(errs, s.engine.Close(p.Port))
	}
	s.closing.Wait()
	for _, i := range s.inherited {
		errs = append(errs, i.Listener.Close())
	}
	if err := s.engine.Wait(ctx); err != nil {
		s.engine.End(causeOfStop(err))
		errs = append(errs, s.engine.Wait(context.Background()))
	}
	return errors.Join(append(errs, s.release())...)
}

// causeOfStop is the cause of the sessions that a stop resets; err is the error of the context of Stop.
func causeOfStop(err error) relay.Cause {
	if errors.Is(err, context.DeadlineExceeded) {
		return relay.Drained
	}
	return relay.Stopped
}

// release closes everything that New has made, except listening sockets.
func (s *Server) release() error {
	s.resolver.Close()
	s.shortages.stop()
	return errors.Join(s.prober.Close(), s.engine.Stop())
}

// unusedInherited returns the inherited sockets that serve no port.
func (s *Server) unusedInherited() (sockets []listen.Inherited) {
	for _, i := range s.inherited {
		used := false
		for key := range s.ports {
			used = used || i.Serves(key.Port)
		}
		if !used {
			sockets = append(sockets, i)
		}
	}
	return sockets
}
