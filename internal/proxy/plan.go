package proxy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/listen"
	"tcp-proxy/internal/logging"
	"tcp-proxy/internal/relay"
)

// port is a listening socket that the engine has, or will have.
type port struct {
	*relay.Port
	app *app
	at  config.Port // the address that it was opened with
}

// plan is the steps from the running configuration to a new one. prepare and open do everything that can fail, and
// abandon undoes it; commit does the rest and cannot fail.
type plan struct {
	server  *Server
	cfg     *config.Config
	apps    []*app
	removed []*app // running apps without a successor

	sockets *listen.Plan
	owners  []*app               // app of each port in sockets
	added   map[listen.Key]*port // ports to open
	opened  []*port              // ports of added that the engine has
}

// prepare makes everything new, and listens on new ports without accepting. It reports every target that leads back
// to its app, or else every port that it cannot listen on. It changes nothing then, nor if the context is done before
// it returns.
func (s *Server) prepare(ctx context.Context, cfg *config.Config) (*plan, error) {
	if s.cfg != nil && cfg.Engine != s.cfg.Engine {
		return nil, cfg.Errorf("engine", "changing it to %q from %q needs a restart", cfg.Engine, s.cfg.Engine)
	}
	if err := CheckTargets(cfg, s.inherited); err != nil {
		return nil, err
	}
	s.closing.Wait()
	p := &plan{server: s, cfg: cfg, added: map[listen.Key]*port{}}
	before := predecessors(cfg.Apps, s.apps)
	for i, c := range cfg.Apps {
		p.apps = append(p.apps, newApp(c, before[i]))
	}
	succeeded := make(map[*app]bool, len(before))
	for _, b := range before {
		succeeded[b] = true
	}
	for _, a := range s.apps {
		if !succeeded[a] {
			p.removed = append(p.removed, a)
		}
	}
	if err := p.listen(ctx); err != nil {
		if undone := p.abandon(); undone != nil {
			return nil, errors.Join(err, undone)
		}
		return nil, err // as it is: it may be several errors
	}
	p.resolve(ctx)
	if err := context.Cause(ctx); err != nil {
		return nil, errors.Join(err, p.abandon())
	}
	return p, nil
}

// listen makes the sockets of new ports.
func (p *plan) listen(ctx context.Context) error {
	wanted := listen.Wanted{Inherited: p.server.inherited, Options: listen.Options{KeepAlive: -1}}
	for _, a := range p.apps {
		for _, asked := range a.Ports {
			wanted.Ports, p.owners = append(wanted.Ports, asked), append(p.owners, a)
		}
	}
	for key, open := range p.server.ports {
		control := func(f func(int) error) error { return p.server.engine.Control(open.Port, f) }
		wanted.Open = append(wanted.Open, listen.Socket{Key: key, Port: open.at, Control: control})
	}
	var err error
	if p.sockets, err = listen.Prepare(ctx, wanted); err != nil {
		return p.explain(err)
	}
	for _, n := range p.sockets.New {
		a := p.owners[n.Index]
		added := &port{Port: relay.NewPort(n.Key.Port.String(), n.Listener), app: a, at: n.Key.Port}
		added.Inherited = n.Inherited
		added.Route.Store(a.route)
		p.added[n.Key] = added
		if err := linux.Control(n.Listener, listen.Accepted(n.Listener, a.route.Keepalive)); err != nil {
			return p.explain(listen.Failures{{Index: n.Index, Port: n.Key.Port, Err: err}})
		}
	}
	return nil
}

// explain adds the app and the position in the configuration to the errors of ports.
func (p *plan) explain(err error) error {
	var failed listen.Failures
	if !errors.As(err, &failed) {
		return err
	}
	var errs config.Errors
	for _, f := range failed {
		further := ""
		if len(errs) == config.MaxErrors {
			further = "; the ports behind it were not tried"
		}
		a := p.owners[f.Index]
		app := slices.Index(p.apps, a)
		path := p.cfg.PortPath(app, slices.Index(a.Ports, f.Port))
		errs = append(errs, p.cfg.Errorf(path, "app %q cannot listen on %s: %w%s", a.Name, f.Port, f.Err, further))
	}
	return errs
}

// open makes the engine accept on new ports.
func (p *plan) open() error {
	for key, added := range p.added {
		if err := p.server.engine.Open(added.Port); err != nil {
			delete(p.added, key) // the engine has closed its listener
			return errors.Join(fmt.Errorf("accept on %s for app %q: %w", added.Name(), added.app.Name, err), p.abandon())
		}
		p.opened = append(p.opened, added)
	}
	return nil
}

// abandon undoes prepare and open.
func (p *plan) abandon() error {
	var errs []error
	for _, o := range p.opened {
		errs = append(errs, p.server.engine.Close(o.Port))
	}
	if p.sockets != nil {
		errs = append(errs, p.sockets.Close())
	}
	p.resumeResolving()
	return errors.Join(errs...)
}

// commit runs a plan that was opened: from now on, new sessions go by the new configuration. It returns errors of
// listening sockets, which do not undo the plan. Readers of the server wait only for the first step, which is done in
// memory, and not for the kernel and the engine.
func (p *plan) commit() error {
	kept, stale := p.swap()
	var errs []error
	for _, k := range kept {
		route := k.port.app.route
		if route.Keepalive != k.before.Keepalive {
			errs = append(errs, p.server.engine.Control(k.port.Port, listen.Accepted(k.port.Listener, route.Keepalive)))
		}
		k.port.Route.Store(route)
	}
	for key, old := range stale {
		if p.sockets.MakesWay(key) {
			p.server.retire(old)
			continue
		}
		errs = append(errs, p.server.close(old))
	}
	return errors.Join(errs...)
}

// keptPort is a port that stays open, and its previous route.
type keptPort struct {
	port   *port
	before *relay.Route
}

// swap replaces what readers see of the server. It returns the ports that stay open and those to close.
func (p *plan) swap() (kept []keptPort, stale map[listen.Key]*port) {
	s := p.server
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg, s.apps = p.cfg, p.apps
	s.recordOneIn.Store(int64(p.cfg.Log.Sessions))
	s.workers.Resize(p.cfg.MaxWorkers)
	for _, a := range p.apps {
		a.targets.Activate()
	}
	for _, a := range p.removed {
		a.targets.Retire()
	}
	stale = map[listen.Key]*port{}
	ports := p.added
	for was, open := range s.ports {
		key, index, ok := p.sockets.Next(was)
		if !ok {
			stale[was] = open
			continue
		}
		ports[key] = open
		kept = append(kept, keptPort{open, open.app.route})
		open.app = p.owners[index]
		open.Rename(key.Port.String())
	}
	s.ports = ports
	return kept, stale
}

// logInherited logs the sockets of the service manager that ports use from now on.
func (p *plan) logInherited() {
	for _, n := range p.sockets.New {
		if n.Inherited {
			p.server.log.Info("port uses a socket of systemd", portFields(p.added[n.Key].Port))
		}
	}
}

// close closes a removed port.
func (s *Server) close(old *port) error {
	defer s.failing.Delete(old.Port)
	return s.engine.Close(old.Port)
}

// retire closes a port after listen.Grace, or when the server stops.
func (s *Server) retire(old *port) {
	s.closing.Go(func() {
		select {
		case <-time.After(listen.Grace):
		case <-s.stopping.Done():
		}
		if err := s.close(old); err != nil {
			s.log.Warn("closing a removed port failed", logging.Fields{logging.ErrorKey: err})
		}
	})
}
