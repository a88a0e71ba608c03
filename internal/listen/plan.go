package listen

import (
	"context"
	"errors"
	"net"

	"tcp-proxy/internal/config"
)

// Key tells the listening sockets of a server apart. A port of the configuration is one socket, or several: as many as
// systemd hands over by the port's name, and those that the port took over from ports before it (overlap.go).
type Key struct {
	config.Port
	Index int
}

// Socket is a listening socket that is open.
type Socket struct {
	Key     Key
	Port    config.Port                      // the port that it was made for; Key has the port that it serves now
	Control func(f func(fd int) error) error // calls f with its descriptor
}

// Wanted says what is to be listened on, and what is there already.
type Wanted struct {
	Ports     []config.Port // one that is listed twice is one port, the first
	Open      []Socket
	Inherited []Inherited
	Options   Options
}

// Plan is the way from the sockets that are open to those that are wanted. Prepare does all that can fail. The server
// that carries the plan out accepts on the new sockets, and gives each open socket to the port that Next names, or closes
// it. A plan that is not carried out wants Close.
type Plan struct {
	New []New

	wanted Wanted
	ports  map[Key]int    // every socket that is wanted, with the index of its port
	open   map[Key]Socket // those of Wanted.Open
	moves  map[Key]Key    // open sockets that serve another port from then on
}

// New is a socket that a plan has made.
type New struct {
	Key      Key
	Index    int // of its port in Wanted.Ports
	Listener net.Listener
}

// Prepare listens on the ports that are wanted and are not open. If some cannot be listened on, the error is Failures,
// with all of them up to config.MaxErrors and one more; if the context is done first, it is the context's. With an error
// nothing is left open but what was before.
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

// listen makes the sockets of a port that are not open yet. It uses the stale sockets of the same port number where they
// have addresses in common with the port.
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
		p.New = append(p.New, New{key, index, l})
	}
	return nil
}

// Next tells what becomes of an open socket: the key that it has from then on, and the index of its port. It reports
// false if the socket is to be closed.
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
