// Package proxy is the server: it listens on the ports of every app, hands what comes to an engine with the app's
// route, and accounts for each session. It knows nothing of signals, HTTP or systemd.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/config"
	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/logging"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/relay/iocopy"
	"tcp-proxy/internal/target"
)

// Server is every app of one configuration. Make it with New; then Start, and at last Stop, once each.
type Server struct {
	log        *logrus.Logger
	sparing    *logging.Sparing // for what may repeat without end
	sessions   bool             // log a record of each
	workers    *admit.Workers
	engine     relay.Engine
	apps       []*app
	cancel     context.CancelFunc // ends background
	background sync.WaitGroup     // for checkNames
}

// app is one app at work.
type app struct {
	config.App
	targets *target.Set
	ports   []*relay.Port
	opened  int // ports that the engine has
}

// sameAgain is how often the same trouble is logged.
const sameAgain = 10 * time.Second

// New makes a server of a configuration and listens on every port, without accepting yet. On an error nothing is
// left open; a port that cannot be listened on is an error that names it, all of them at once.
func New(cfg *config.Config, log *logrus.Logger) (*Server, error) {
	s := &Server{
		log:      log,
		sparing:  logging.NewSparing(sameAgain),
		sessions: cfg.Log.Sessions,
		workers:  admit.NewWorkers(cfg.MaxWorkers),
	}
	s.workers.OnFull, s.workers.OnFree = s.poolFull, s.poolFree

	var errs []error
	for i, c := range cfg.Apps {
		a, err := newApp(cfg, i, c)
		errs = append(errs, err)
		s.apps = append(s.apps, a)
	}
	err := errors.Join(errs...)
	if err == nil {
		s.engine, err = iocopy.New(s.workers, s.events())
	}
	if err != nil {
		return nil, errors.Join(err, s.closePorts())
	}
	return s, nil
}

// newApp makes an app and its listeners. It returns what it has made even with an error.
func newApp(cfg *config.Config, index int, c config.App) (*app, error) {
	a := &app{App: c, targets: target.NewSet(c.Targets, c.RetryDeadAfter)}
	keepalive := linux.Keepalive(c.Keepalive)
	route := &relay.Route{
		App:              c.Name,
		Targets:          a.targets,
		ConnectTimeout:   c.ConnectTimeout,
		ConnectAttempts:  c.ConnectAttempts,
		IdleTimeout:      c.IdleTimeout,
		HalfCloseTimeout: c.HalfCloseTimeout,
		Keepalive:        keepalive,
	}
	var errs []error
	for i, port := range c.Ports {
		l, err := listen(port, keepalive)
		if err != nil {
			errs = append(errs, cfg.Errorf(cfg.PortPath(index, i), "app %q cannot listen on %s: %w", c.Name, port, err))
			continue
		}
		p := &relay.Port{Name: port.String(), Listener: l}
		p.Route.Store(route)
		a.ports = append(a.ports, p)
	}
	return a, errors.Join(errs...)
}

// Start accepts on every port. On an error the server still wants Stop.
func (s *Server) Start() error {
	for _, a := range s.apps {
		for _, p := range a.ports {
			a.opened++
			if err := s.engine.Open(p); err != nil {
				return fmt.Errorf("accept on %s for app %q: %w", p.Name, a.Name, err)
			}
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.background.Go(func() { s.checkNames(ctx) })
	return nil
}

// Stop closes every port, lets open sessions go on until the context is done, ends those that are left, and returns
// when all is given back.
func (s *Server) Stop(ctx context.Context) error {
	err := s.closePorts()
	if s.cancel != nil {
		s.cancel()
	}
	if s.engine.Wait(ctx) != nil {
		s.engine.End(relay.Stopped)
		err = errors.Join(err, s.engine.Wait(context.Background()))
	}
	s.background.Wait()
	return errors.Join(err, s.engine.Stop())
}

// closePorts closes the ports that the engine has, and the listeners that it has not.
func (s *Server) closePorts() error {
	var errs []error
	for _, a := range s.apps {
		for i, p := range a.ports {
			if i < a.opened {
				errs = append(errs, s.engine.Close(p))
			} else {
				errs = append(errs, p.Listener.Close())
			}
		}
	}
	return errors.Join(errs...)
}

// Size is what a server has: for a line that says so.
type Size struct {
	Apps, Ports, Targets, Workers int
	Engine                        string
}

// SizeOf tells what a configuration would run.
func SizeOf(cfg *config.Config) Size {
	size := Size{Apps: len(cfg.Apps), Workers: cfg.MaxWorkers, Engine: cfg.Engine}
	for _, a := range cfg.Apps {
		size.Ports += len(a.Ports)
		size.Targets += len(a.Targets)
	}
	return size
}

// String is such as "3 apps, 12 ports, 42 targets".
func (s Size) String() string {
	return fmt.Sprintf("%s, %s, %s", count(s.Apps, "app"), count(s.Ports, "port"), count(s.Targets, "target"))
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// spareDescriptors are for what is not sessions or ports: the log, epoll, resolving names.
const spareDescriptors = 32

// Descriptors is the most descriptors that a server of this size holds.
func (s Size) Descriptors() uint64 {
	return uint64(s.Workers)*iocopy.DescriptorsPerSession + uint64(s.Ports)*iocopy.DescriptorsPerPort + spareDescriptors
}

// MostWorkers is how many workers fit a limit of descriptors, with the ports as they are.
func (s Size) MostWorkers(limit uint64) uint64 {
	s.Workers = 0
	if need := s.Descriptors(); need < limit {
		return (limit - need) / iocopy.DescriptorsPerSession
	}
	return 0
}
