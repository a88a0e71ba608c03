// Package proxy is the server: it listens on the ports of every app, hands what comes to an engine with the app's
// route, and accounts for each session. It knows nothing of signals, HTTP or systemd.
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

// Server runs a configuration. Make it with New; then Start; Apply any number of times; and at last Stop. Those are
// called one at a time.
type Server struct {
	log       *logging.Logger
	workers   *admit.Workers
	engine    relay.Engine
	inherited []listen.Inherited
	first     *plan // what New has prepared, until Start

	prober   *probe.Prober
	resolver *resolve.Resolver
	guard    guard
	own      relay.Own
	leaving  sync.WaitGroup  // for ports that are closed in a moment
	stopping context.Context // done: Stop was called
	stop     context.CancelFunc

	oneIn     atomic.Int64  // so many sessions that end well have one record in the log; 0: no session has
	endings   atomic.Uint64 // of sessions that ended well
	reloads   reloads
	history   history
	draining  atomic.Bool
	failing   sync.Map // from *relay.Port to why accepting on it fails
	pauses    atomic.Uint64
	shortages shortages

	mu      sync.Mutex // guards what follows against readers; it changes in commit only
	cfg     *config.Config
	apps    []*app
	ports   map[listen.Key]*port
	started time.Time // zero before Start
}

// New makes a server of a configuration and listens on every port, without accepting yet. A port that an inherited
// socket serves is not made again. All ports that cannot be listened on are one error, and then nothing is left open
// but what was inherited, which is the server's only if there is no error. It gives up when the context is done.
func New(ctx context.Context, cfg *config.Config, log *logging.Logger, inherited []listen.Inherited) (*Server, error) {
	s := &Server{
		log:       log,
		workers:   admit.NewWorkers(cfg.MaxWorkers),
		inherited: inherited,
		ports:     map[listen.Key]*port{},
		guard:     guard{woken: make(chan struct{}, 1), found: make(chan circle, 16)},
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
	if s.first, err = s.prepare(ctx, cfg); err != nil {
		return nil, errors.Join(err, s.free())
	}
	return s, nil
}

// Start accepts on every port. With an error nothing is accepted, and the server still wants Stop.
func (s *Server) Start() error {
	p := s.first
	s.first = nil
	s.protect(p.apps) // before anybody can connect
	if err := p.open(); err != nil {
		return err
	}
	s.activate(p)
	s.guard.checking.Go(s.watchTargets)
	s.reloads.succeeded()
	s.mu.Lock()
	s.started = time.Now()
	s.mu.Unlock()
	s.history.note(Event{Kind: EventStarted, Text: "started: " + SizeOf(p.cfg).String()})
	for _, i := range s.unused() {
		s.log.Warn(fmt.Sprintf("no app uses the inherited socket %s; its connections will hang", i), nil)
	}
	return nil
}

// Apply has the server run another configuration: Prepare and Commit in one.
func (s *Server) Apply(cfg *config.Config) (Changes, error) {
	p, err := s.Prepare(context.Background(), cfg)
	if err != nil {
		return Changes{}, err
	}
	return p.Commit()
}

// Plan is a way to another configuration. It wants exactly one of Commit and Abandon.
type Plan struct {
	server  *Server
	changes Changes
	plan    *plan // nil: the configuration means the same
}

// Prepare does what takes time on the way to another configuration: it listens on new ports, without accepting, and looks
// up names. Until the context is done, it may take as long as that. What the configuration does not change goes on
// untouched then: listening sockets, sessions, and what is known of targets. Open sessions keep the policy that they began
// with, also those of ports and targets that are gone. A configuration that means the same touches nothing. With an error
// everything is as before. Stop may be called meanwhile, once the context is done; the plan is of no use then.
func (s *Server) Prepare(ctx context.Context, cfg *config.Config) (*Plan, error) {
	p := &Plan{server: s, changes: ChangesOf(s.cfg, cfg)}
	if p.changes.Nothing() && cfg.Engine == s.cfg.Engine {
		return p, nil
	}
	var err error
	p.plan, err = s.prepare(ctx, cfg)
	return p, err
}

// Commit makes the configuration the active one. With an error nothing has changed.
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

// Abandon gives back what Prepare took.
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
	s.protect(p.apps)
	p.startProbing(before)
}

// Stopping has the server say, to those who ask, that it is about to stop. Stop does so too.
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
	if s.first != nil {
		errs = append(errs, s.first.abandon())
	}
	s.Stopping()
	s.guard.checking.Wait()
	for _, p := range s.ports {
		errs = append(errs, s.engine.Close(p.Port))
	}
	s.leaving.Wait()
	for _, i := range s.inherited {
		errs = append(errs, i.Listener.Close())
	}
	if err := s.engine.Wait(ctx); err != nil {
		s.engine.End(causeOfStop(err))
		errs = append(errs, s.engine.Wait(context.Background()))
	}
	return errors.Join(append(errs, s.free())...)
}

// causeOfStop is the cause of the sessions that a stop resets; err is the error of the context of Stop.
func causeOfStop(err error) relay.Cause {
	if errors.Is(err, context.DeadlineExceeded) {
		return relay.Drained
	}
	return relay.Stopped
}

// free gives back what New has made, but for listening sockets.
func (s *Server) free() error {
	s.resolver.Close()
	s.shortages.stop()
	return errors.Join(s.prober.Close(), s.engine.Stop())
}

// unused gives the inherited sockets that serve no port.
func (s *Server) unused() (sockets []listen.Inherited) {
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
