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

// port is a listening socket at work, or about to be.
type port struct {
	*relay.Port
	app *app
	at  config.Port // as it was listened on
}

// plan is the way from what a server runs to what a configuration asks for. Everything that can fail is done by
// prepare and open, and undone by abandon; commit does the rest and cannot fail.
type plan struct {
	server *Server
	cfg    *config.Config
	apps   []*app
	gone   []*app // those that the server has and nobody succeeds

	sockets *listen.Plan
	owners  []*app // of the ports that sockets counts
	fresh   map[listen.Key]*port
	opened  []*port // those of fresh that the engine has
}

// prepare makes what is new, listening on new ports without accepting yet. Every target that leads back to its app, or
// else every port that cannot be listened on, is reported, and then nothing has changed; nor has it if the context is done
// before all is.
func (s *Server) prepare(ctx context.Context, cfg *config.Config) (*plan, error) {
	if s.cfg != nil && cfg.Engine != s.cfg.Engine {
		return nil, cfg.Errorf("engine", "changing it to %q from %q needs a restart", cfg.Engine, s.cfg.Engine)
	}
	if err := CheckTargets(cfg, s.inherited); err != nil {
		return nil, err
	}
	s.leaving.Wait()
	p := &plan{server: s, cfg: cfg, fresh: map[listen.Key]*port{}}
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
			p.gone = append(p.gone, a)
		}
	}
	if err := p.listen(ctx); err != nil {
		if undone := p.abandon(); undone != nil {
			return nil, errors.Join(err, undone)
		}
		return nil, err // which may be several
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
		fresh := &port{Port: relay.NewPort(n.Key.Port.String(), n.Listener), app: a, at: n.Key.Port}
		fresh.Route.Store(a.route)
		p.fresh[n.Key] = fresh
		if err := linux.Control(n.Listener, listen.Accepted(n.Listener, a.route.Keepalive)); err != nil {
			return p.explain(listen.Failures{{Index: n.Index, Port: n.Key.Port, Err: err}})
		}
	}
	return nil
}

// explain names the apps and the places in the configuration of ports that cannot be listened on.
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

// open has the engine accept on new ports.
func (p *plan) open() error {
	for key, fresh := range p.fresh {
		if err := p.server.engine.Open(fresh.Port); err != nil {
			delete(p.fresh, key) // the engine has closed its listener
			return errors.Join(fmt.Errorf("accept on %s for app %q: %w", fresh.Name(), fresh.app.Name, err), p.abandon())
		}
		p.opened = append(p.opened, fresh)
	}
	return nil
}

// abandon takes back what prepare and open have done.
func (p *plan) abandon() error {
	var errs []error
	for _, o := range p.opened {
		errs = append(errs, p.server.engine.Close(o.Port))
	}
	if p.sockets != nil {
		errs = append(errs, p.sockets.Close())
	}
	p.resolveAgain()
	return errors.Join(errs...)
}

// commit has the server run the plan, which was opened: from here on new sessions are as the configuration says. It
// returns what went wrong with listening sockets, which does not undo the plan. Readers of the server wait only for the
// first step, which is done in memory: the others take as long as the kernel and the engine do.
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

// keptPort is a port that goes on, and the route that it has had.
type keptPort struct {
	port   *port
	before *relay.Route
}

// swap replaces what readers see of the server, and returns the ports that go on and those that are given up.
func (p *plan) swap() (kept []keptPort, stale map[listen.Key]*port) {
	s := p.server
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg, s.apps = p.cfg, p.apps
	s.oneIn.Store(int64(p.cfg.Log.Sessions))
	s.workers.Resize(p.cfg.MaxWorkers)
	for _, a := range p.apps {
		a.targets.Activate()
	}
	for _, a := range p.gone {
		a.targets.Retire()
	}
	stale = map[listen.Key]*port{}
	ports := p.fresh
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

// close closes a port that the server has given up.
func (s *Server) close(old *port) error {
	defer s.failing.Delete(old.Port)
	return s.engine.Close(old.Port)
}

// retire closes a port after listen.Grace, or when the server stops.
func (s *Server) retire(old *port) {
	s.leaving.Go(func() {
		select {
		case <-time.After(listen.Grace):
		case <-s.stopping.Done():
		}
		if err := s.close(old); err != nil {
			s.log.Warn("closing a removed port failed", logging.Fields{logging.ErrorKey: err})
		}
	})
}
