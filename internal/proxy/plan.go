package proxy

import (
	"errors"
	"fmt"
	"maps"
	"net"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/relay"
)

// portKey tells listening sockets apart. A port of the configuration is one socket, or, if it goes by the name that
// systemd gives, as many as have that name.
type portKey struct {
	config.Port
	index int
}

// port is a listening socket at work, or about to be.
type port struct {
	relay.Port
	app *app
}

// plan is the way from what a server runs to what a configuration asks for. Everything that can fail is done by
// prepare and open, and undone by abandon; commit does the rest and cannot fail.
type plan struct {
	server *Server
	cfg    *config.Config
	apps   []*app
	ports  map[portKey]*app // all that are wanted
	fresh  map[portKey]*port
	opened []*port // those of fresh that the engine has
}

// prepare makes what is new, listening on new ports without accepting yet. Every port that cannot be listened on is
// reported, and then nothing has changed.
func (s *Server) prepare(cfg *config.Config) (*plan, error) {
	if s.cfg != nil && cfg.Engine != s.cfg.Engine {
		return nil, cfg.Errorf("engine", "%q cannot take over from %q while the proxy runs: it takes a restart", cfg.Engine, s.cfg.Engine)
	}
	p := &plan{server: s, cfg: cfg, ports: map[portKey]*app{}, fresh: map[portKey]*port{}}
	var errs []error
	before := predecessors(cfg.Apps, s.apps)
	for i, c := range cfg.Apps {
		a := newApp(c, before[i])
		p.apps = append(p.apps, a)
		for j, asked := range c.Ports {
			if err := p.want(a, asked); err != nil {
				errs = append(errs, cfg.Errorf(cfg.PortPath(i, j), "app %q cannot listen on %s: %w", c.Name, asked, err))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, errors.Join(err, p.abandon())
	}
	return p, nil
}

// want adds the sockets of a port to the plan, and listens on those that are new.
func (p *plan) want(a *app, asked config.Port) error {
	sockets := p.server.socketsFor(asked)
	if len(sockets) == 0 && asked.Network == "systemd" {
		return errors.New("systemd has handed over no socket of that name")
	}
	for i := range max(1, len(sockets)) {
		key := portKey{asked, i}
		p.ports[key] = a
		if p.server.ports[key] != nil {
			continue
		}
		var l net.Listener
		var err error
		if len(sockets) > 0 {
			l, err = sockets[i].duplicate()
		} else {
			l, err = listen(asked)
		}
		if err != nil {
			return err
		}
		fresh := &port{Port: relay.Port{Name: asked.String(), Listener: l}, app: a}
		fresh.Route.Store(a.route)
		p.fresh[key] = fresh
		if err := linux.Control(l, inherit(l, a.route.Keepalive)); err != nil {
			return err
		}
	}
	return nil
}

// open has the engine accept on new ports.
func (p *plan) open() error {
	for key, fresh := range p.fresh {
		if err := p.server.engine.Open(&fresh.Port); err != nil {
			delete(p.fresh, key) // the engine has closed its listener
			return errors.Join(fmt.Errorf("accept on %s for app %q: %w", fresh.Name, fresh.app.Name, err), p.abandon())
		}
		p.opened = append(p.opened, fresh)
	}
	return nil
}

// abandon takes back what prepare and open have done.
func (p *plan) abandon() error {
	var errs []error
	for _, o := range p.opened {
		errs = append(errs, p.server.engine.Close(&o.Port))
	}
	for _, fresh := range p.fresh {
		if err := fresh.Listener.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// commit has the server run the plan, which was opened: from here on new sessions are as the configuration says. It
// returns what went wrong with ports that are given up, which does not keep the plan from being in force.
func (p *plan) commit() error {
	s := p.server
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg, s.apps = p.cfg, p.apps
	s.sessions.Store(p.cfg.Log.Sessions)
	s.workers.Resize(p.cfg.MaxWorkers)
	var errs []error
	var stale []*port
	for key, open := range s.ports {
		a := p.ports[key]
		if a == nil {
			stale = append(stale, open)
			delete(s.ports, key)
			continue
		}
		if a.route.Keepalive != open.app.route.Keepalive {
			errs = append(errs, s.engine.Control(&open.Port, inherit(open.Listener, a.route.Keepalive)))
		}
		open.app = a
		open.Route.Store(a.route)
	}
	maps.Copy(s.ports, p.fresh)
	for _, old := range stale {
		errs = append(errs, s.engine.Close(&old.Port))
	}
	return errors.Join(errs...)
}
