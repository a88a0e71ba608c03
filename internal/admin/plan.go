package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/listen"
)

// Plan is a way to another list of addresses. It wants exactly one of Commit and Abandon.
type Plan struct {
	server  *Server
	sockets *listen.Plan
	opened  map[config.AdminAddress]*door
	closed  []*door
}

// Prepare listens on the addresses that are new, without serving there yet. All that cannot be listened on are one
// error, of a ListenError each, and then nothing has changed.
func (s *Server) Prepare(addresses []config.AdminAddress) (*Plan, error) {
	s.making.Wait()
	s.mu.Lock()
	doors := maps.Clone(s.doors)
	s.mu.Unlock()
	wanted := listen.Wanted{Options: listen.Options{Mode: adminMode}}
	for _, address := range addresses {
		wanted.Ports = append(wanted.Ports, config.Port(address))
	}
	for _, d := range doors {
		for key, l := range d.sockets {
			control := func(f func(int) error) error { return linux.Control(l.Listener, f) }
			wanted.Open = append(wanted.Open, listen.Socket{Key: key, Port: l.port, Control: control})
		}
	}
	sockets, err := listen.Prepare(context.Background(), wanted)
	if err != nil {
		return nil, listenErrors(err, addresses)
	}
	p := &Plan{server: s, sockets: sockets, opened: map[config.AdminAddress]*door{}}
	for _, n := range sockets.New {
		p.open(addresses[n.Index]).add(n.Key, n.Listener, n.Key.Port)
	}
	for address, d := range doors {
		if slices.Contains(addresses, address) {
			continue
		}
		p.closed = append(p.closed, d)
		if err := p.passOn(d, addresses); err != nil {
			p.Abandon()
			return nil, err
		}
	}
	return p, nil
}

// open returns the door of a new address.
func (p *Plan) open(address config.AdminAddress) *door {
	if p.opened[address] == nil {
		p.opened[address] = p.server.newDoor(address)
	}
	return p.opened[address]
}

// passOn gives the sockets of a door that is closed to the doors that serve their addresses from then on. Each door has a
// descriptor of its own, so that the old one stops accepting without closing the socket.
func (p *Plan) passOn(d *door, addresses []config.AdminAddress) error {
	for key, l := range d.sockets {
		to, index, ok := p.sockets.Next(key)
		if !ok {
			continue
		}
		again, err := listen.Duplicate(l.Listener)
		if err != nil {
			return &ListenError{index, addresses[index], err}
		}
		p.open(addresses[index]).add(to, again, l.port)
	}
	return nil
}

// Abandon gives back what Prepare took.
func (p *Plan) Abandon() {
	for _, d := range p.opened {
		d.closeSockets()
	}
}

// Commit serves on the new addresses and leaves those that are no longer wanted: requests that are under way there are
// answered.
func (p *Plan) Commit() {
	s := p.server
	s.mu.Lock()
	defer s.mu.Unlock()
	for address, d := range p.opened {
		s.doors[address] = d
		d.serve()
	}
	for _, d := range p.closed {
		delete(s.doors, d.address)
		grace := false
		for key, l := range d.sockets {
			if _, _, passedOn := p.sockets.Next(key); !passedOn && p.sockets.MakesWay(key) {
				grace = true
				continue
			}
			l.Close()
		}
		s.leave(d, grace)
	}
}

// leave closes a door in the background. With grace its open sockets accept for listen.Grace before that. Connections that
// were accepted last have as long to send their requests: http.Server.Shutdown would drop them.
func (s *Server) leave(d *door, grace bool) {
	if grace {
		s.making.Add(1)
	}
	s.leaving.Go(func() {
		if grace {
			s.pause(listen.Grace)
			d.closeSockets()
			s.making.Done()
		}
		d.serving.Wait() // from then on the lobby knows every connection that was accepted
		d.http.SetKeepAlivesEnabled(false)
		for end := time.Now().Add(listen.Grace); d.lobby.awaitsRequest() && time.Now().Before(end) && s.closing.Err() == nil; {
			s.pause(listen.Grace / 25)
		}
		ctx, cancel := context.WithTimeout(s.life, s.last)
		defer cancel()
		d.close(ctx)
	})
}

// pause waits for a while, or until Close is called.
func (s *Server) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-s.closing.Done():
	}
}

// ListenError says which of the addresses that Prepare was given cannot be listened on.
type ListenError struct {
	Index   int
	Address config.AdminAddress
	Err     error
}

func (e *ListenError) Error() string {
	return fmt.Sprintf("the admin API cannot listen on %s: %v", e.Address, e.Err)
}

// Unwrap gives what the system said.
func (e *ListenError) Unwrap() error { return e.Err }

// listenErrors returns a ListenError for each failure.
func listenErrors(err error, addresses []config.AdminAddress) error {
	var failed listen.Failures
	if !errors.As(err, &failed) {
		return err
	}
	var errs []error
	for _, f := range failed {
		errs = append(errs, &ListenError{f.Index, addresses[f.Index], f.Err})
	}
	return errors.Join(errs...)
}
