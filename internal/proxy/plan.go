package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/relay"
)

// portKey tells listening sockets apart. A port of the configuration is one socket, or, if it goes by the name that
// systemd gives, as many as have that name, or more if it took some over from ports before it (overlap.go).
type portKey struct {
	config.Port
	index int
}

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
	gone   []*app           // those that the server has and nobody succeeds
	ports  map[portKey]*app // all that are wanted
	fresh  map[portKey]*port
	opened []*port             // those of fresh that the engine has
	moves  map[portKey]portKey // ports that are there and serve another one from then on
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
	p := &plan{
		server: s,
		cfg:    cfg,
		ports:  map[portKey]*app{},
		fresh:  map[portKey]*port{},
		moves:  map[portKey]portKey{},
	}
	before := predecessors(cfg.Apps, s.apps)
	for i, c := range cfg.Apps {
		a := newApp(c, before[i])
		p.apps = append(p.apps, a)
		for _, asked := range c.Ports {
			p.want(a, asked)
		}
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
	stale := p.stale()
	if errs := p.listenAll(ctx, stale); len(errs) > 0 {
		if err := p.abandon(); err != nil {
			return nil, errors.Join(errs, err)
		}
		return nil, errs
	}
	p.look(ctx)
	if err := context.Cause(ctx); err != nil {
		return nil, errors.Join(err, p.abandon())
	}
	return p, nil
}

// listenAll makes the sockets of all ports. After as many errors as are told it gives up, and when the context is done.
func (p *plan) listenAll(ctx context.Context, stale map[uint16][]stalePort) (errs config.Errors) {
	var failed []unheard
	for i, a := range p.apps {
		for j, asked := range a.Ports {
			if ctx.Err() != nil {
				return nil
			}
			if err := p.listen(a, asked, stale); err != nil {
				failed = append(failed, unheard{i, j, asked, err})
			}
			if len(failed) > config.MaxErrors {
				return p.explain(failed)
			}
		}
	}
	return p.explain(failed)
}

// explain gives an error for each port that cannot be listened on.
func (p *plan) explain(failed []unheard) (errs config.Errors) {
	nameHolders(failed)
	for _, f := range failed {
		further := ""
		if len(errs) == config.MaxErrors {
			further = "; the ports behind it were not tried"
		}
		errs = append(errs, p.cfg.Errorf(p.cfg.PortPath(f.app, f.port), "app %q cannot listen on %s: %w%s", p.apps[f.app].Name, f.asked, f.err, further))
	}
	return errs
}

// want adds the sockets of a port to the plan.
func (p *plan) want(a *app, asked config.Port) {
	n := max(1, len(p.server.socketsFor(asked)))
	for i := 0; i < n || p.server.ports[portKey{asked, i}] != nil; i++ {
		p.ports[portKey{asked, i}] = a
	}
}

// listen makes those sockets of a port that are not there yet. What stale ports have in common with it is not given up.
func (p *plan) listen(a *app, asked config.Port, stale map[uint16][]stalePort) error {
	sockets := p.server.socketsFor(asked)
	if len(sockets) == 0 && asked.Network == "systemd" {
		return errors.New("systemd has passed no socket of that name")
	}
	for i := range max(1, len(sockets)) {
		key := portKey{asked, i}
		if p.server.ports[key] != nil {
			continue
		}
		var l net.Listener
		var err error
		switch {
		case len(sockets) > 0:
			l, err = sockets[i].duplicate()
		case p.takeOver(a, asked, stale[asked.Addr.Port()]):
			continue
		default:
			l, err = listen(asked, false)
			if errors.Is(err, unix.EADDRINUSE) && p.makeRoom(a, asked, stale[asked.Addr.Port()]) {
				l, err = listen(asked, true)
			}
		}
		if err != nil {
			return err
		}
		fresh := &port{Port: relay.NewPort(asked.String(), l), app: a, at: asked}
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
	for _, fresh := range p.fresh {
		if err := fresh.Listener.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	p.lookBack()
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
			errs = append(errs, p.server.engine.Control(k.port.Port, inherit(k.port.Listener, route.Keepalive)))
		}
		k.port.Route.Store(route)
	}
	for _, old := range stale {
		if p.makesWay(old) {
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
func (p *plan) swap() (kept []keptPort, stale []*port) {
	s := p.server
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg, s.apps = p.cfg, p.apps
	s.oneIn.Store(int64(p.cfg.Log.Sessions))
	s.workers.Resize(p.cfg.MaxWorkers)
	for _, a := range p.apps {
		a.targets.Enforce()
	}
	for _, a := range p.gone {
		a.targets.Retire()
	}
	ports := p.fresh
	for key, open := range s.ports {
		if to, ok := p.moves[key]; ok {
			key = to
			open.Rename(to.Port.String())
		}
		a := p.ports[key]
		if a == nil {
			stale = append(stale, open)
			continue
		}
		ports[key] = open
		kept = append(kept, keptPort{open, open.app.route})
		open.app = a
	}
	s.ports = ports
	return kept, stale
}

// close closes a port that the server has given up.
func (s *Server) close(old *port) error {
	defer s.failing.Delete(old.Port)
	return s.engine.Close(old.Port)
}
