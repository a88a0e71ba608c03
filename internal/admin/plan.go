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

// Plan is the change to another list of addresses. It needs exactly one of Commit and Abandon.
type Plan struct {
	server  *Server
	sockets *listen.Plan
	opened  map[config.AdminAddress]*listener
	closed  []*listener
}

// Prepare listens on the addresses that are new, without serving there yet. If some cannot be listened on, the error joins a
// ListenError for each, and nothing has changed.
func (s *Server) Prepare(addresses []config.AdminAddress) (*Plan, error) {
	s.overlapping.Wait()
	s.mu.Lock()
	listeners := maps.Clone(s.listeners)
	s.mu.Unlock()
	wanted := listen.Wanted{Options: listen.Options{Mode: adminMode}}
	for _, address := range addresses {
		wanted.Ports = append(wanted.Ports, config.Port(address))
	}
	for _, old := range listeners {
		for key, l := range old.sockets {
			control := func(f func(int) error) error { return linux.Control(l.Listener, f) }
			wanted.Open = append(wanted.Open, listen.Socket{Key: key, Port: l.port, Control: control})
		}
	}
	sockets, err := listen.Prepare(context.Background(), wanted)
	if err != nil {
		return nil, listenErrors(err, addresses)
	}
	p := &Plan{server: s, sockets: sockets, opened: map[config.AdminAddress]*listener{}}
	for _, n := range sockets.New {
		p.open(addresses[n.Index]).add(n.Key, n.Listener, n.Key.Port)
	}
	for address, old := range listeners {
		if slices.Contains(addresses, address) {
			continue
		}
		p.closed = append(p.closed, old)
		if err := p.passOn(old, addresses); err != nil {
			p.Abandon()
			return nil, err
		}
	}
	return p, nil
}

// open returns the listener of a new address.
func (p *Plan) open(address config.AdminAddress) *listener {
	if p.opened[address] == nil {
		p.opened[address] = p.server.newListener(address)
	}
	return p.opened[address]
}

// passOn gives the sockets of a listener that is closed to the listeners that serve their addresses from then on. Each has a
// descriptor of its own, so that the old listener can stop accepting without closing the socket.
func (p *Plan) passOn(old *listener, addresses []config.AdminAddress) error {
	for key, l := range old.sockets {
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

// Abandon closes what Prepare has opened.
func (p *Plan) Abandon() {
	for _, fresh := range p.opened {
		fresh.closeSockets()
	}
}

// Commit serves on the new addresses and stops serving on those that are gone, where requests under way are still answered.
func (p *Plan) Commit() {
	s := p.server
	s.mu.Lock()
	defer s.mu.Unlock()
	for address, fresh := range p.opened {
		s.listeners[address] = fresh
		fresh.serve()
	}
	for _, old := range p.closed {
		delete(s.listeners, old.address)
		grace := false
		for key, l := range old.sockets {
			if _, _, passedOn := p.sockets.Next(key); !passedOn && p.sockets.MakesWay(key) {
				grace = true
				continue
			}
			l.Close()
		}
		s.leave(old, grace)
	}
}

// leave closes a listener in the background. With grace, its open sockets accept for listen.Grace before that. Connections
// whose first request has not come yet keep headerTimeout to send it: after Shutdown, http.Server drops them instead of
// answering.
func (s *Server) leave(old *listener, grace bool) {
	if grace {
		s.overlapping.Add(1)
	}
	s.leaving.Go(func() {
		if grace {
			s.pause(listen.Grace)
			old.closeSockets()
			s.overlapping.Done()
		}
		old.serving.Wait() // from then on the limiter knows every connection that was accepted
		old.http.SetKeepAlivesEnabled(false)
		for end := time.Now().Add(headerTimeout); old.limiter.awaitsRequest() && time.Now().Before(end) && s.closing.Err() == nil; {
			s.pause(listen.Grace / 25)
		}
		ctx, cancel := context.WithTimeout(s.life, s.last)
		defer cancel()
		old.close(ctx)
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

// Unwrap returns the error of the system.
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
