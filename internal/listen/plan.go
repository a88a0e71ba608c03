package listen

import (
	"context"
	"errors"
	"net"

	"tcp-proxy/internal/config"
)

// Key identifies a listening socket of a server. A port of the configuration has one socket, or several: those that systemd
// has passed with the port's name, and those that it took over from earlier ports (overlap.go).
type Key struct {
	config.Port
	Index int
}

// Socket is an open listening socket.
type Socket struct {
	Key     Key
	Port    config.Port                      // the port that it was made for; Key has the one that it serves now
	Control func(f func(fd int) error) error // calls f with its descriptor
}

// Wanted is the ports to listen on, and the sockets that there are.
type Wanted struct {
	Ports     []config.Port // if one is listed twice, only the first counts
	Open      []Socket
	Inherited []Inherited
	Options   Options
}

// Plan is the change from the open sockets to those that are wanted. Prepare does everything that may fail. A server that
// carries out the plan accepts on the new sockets, and makes each open socket serve the port that Next returns, or closes it.
// If a plan is not carried out, Close must be called.
type Plan struct {
	New []New

	wanted Wanted
	ports  map[Key]int    // every wanted socket, with the index of its port in Wanted.Ports
	open   map[Key]Socket // Wanted.Open
	moves  map[Key]Key    // open sockets that will serve another port
}

// New is a socket that Prepare has made.
type New struct {
	Key      Key
	Index    int // of its port in Wanted.Ports
	Listener net.Listener
	// Inherited is set if the socket is one that the service manager has passed.
	Inherited bool
}

// Prepare listens on the wanted ports that are not open. If it cannot listen on some, the error is Failures, with at most one
// more than config.MaxErrors. If the context is done first, the error is the context's. With an error it closes the sockets
// that it has made.
func Prepare(ctx context.Context, wanted Wanted) (*Plan, error) {
	p := &Plan{wanted: wanted, ports: map[Key]int{}, open: map[Key]Socket{}, moves: map[Key]Key{}}
	for _, s := range wanted.Open {
		p.open[s.Key] = s
	}
	for i, asked := range wanted.Ports {
		p.want(i, asked)
	}
	stale := p.stale()
	var failed Failures
	for i, asked := range wanted.Ports {
		if ctx.Err() != nil {
			return nil, errors.Join(context.Cause(ctx), p.Close())
		}
		if p.ports[Key{asked, 0}] != i {
			continue // it is listed twice
		}
		if err := p.listen(i, asked, stale[asked.Addr.Port()]); err != nil {
			failed = append(failed, Failure{i, asked, err})
		}
		if len(failed) > config.MaxErrors {
			break
		}
	}
	if len(failed) > 0 {
		failed.nameHolders()
		return nil, errors.Join(failed, p.Close())
	}
	return p, nil
}

// want adds the sockets of a port to the plan.
func (p *Plan) want(index int, asked config.Port) {
	if _, ok := p.ports[Key{asked, 0}]; ok {
		return
	}
	for i := 0; i < max(1, len(p.inherited(asked))) || p.isOpen(Key{asked, i}); i++ {
		p.ports[Key{asked, i}] = index
	}
}

func (p *Plan) isOpen(key Key) bool {
	_, ok := p.open[key]
	return ok
}

// listen makes the sockets of a port that are not open yet. stale is the stale sockets with the same port number.
func (p *Plan) listen(index int, asked config.Port, stale []Socket) error {
	sockets := p.inherited(asked)
	if len(sockets) == 0 && asked.Network == "systemd" {
		return errors.New("systemd has passed no socket of that name")
	}
	for i := range max(1, len(sockets)) {
		key := Key{asked, i}
		if p.isOpen(key) {
			continue
		}
		var l net.Listener
		var err error
		switch {
		case len(sockets) > 0:
			l, err = sockets[i].duplicate()
		case p.takeOver(index, asked, stale):
			continue
		default:
			l, err = p.openBeside(index, asked, stale)
		}
		if err != nil {
			return err
		}
		p.New = append(p.New, New{key, index, l, len(sockets) > 0})
	}
	return nil
}

// Next returns the new key of an open socket, and the index of its port in Wanted.Ports. It reports false if the socket is to
// be closed.
func (p *Plan) Next(open Key) (key Key, index int, ok bool) {
	key = open
	if to, moves := p.moves[open]; moves {
		key = to
	}
	index, ok = p.ports[key]
	return key, index, ok
}

// Close closes the sockets that the plan has made.
func (p *Plan) Close() error {
	var errs []error
	for _, n := range p.New {
		if err := n.Listener.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// inherited returns the inherited sockets that serve a port.
func (p *Plan) inherited(asked config.Port) []Inherited { return Serving(p.wanted.Inherited, asked) }
