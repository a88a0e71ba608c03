// Package admin serves what can be seen of a proxy, and what it can be told, over HTTP on any number of unix and TCP
// addresses: a page for people, /api/v1/status, /metrics, /healthz and /readyz, and actions by POST, which are for the
// unix sockets alone. All that is shown comes from a proxy.Snapshot.
//
// Whoever asks costs the proxy little, whatever he does: connections, requests and bytes of each address are bounded
// (door.go, pace.go), and what is expensive to draw is drawn once for all who ask at a time (picture.go).
package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/logging"
	"tcp-proxy/internal/proxy"
)

// Descriptors is the most descriptors that so many addresses hold: each the one that it listens with, those of its
// guests, and that of one more until another has made room for it.
func Descriptors(addresses int) uint64 { return uint64(addresses) * (2 + mostGuests) }

// Node is the proxy that is shown and told. Its methods are called from many goroutines at once.
type Node interface {
	Snapshot() proxy.Snapshot
	Stage() proxy.Stage // that of a Snapshot, for less
	Reload(context.Context) (proxy.Changes, error)
	Drain(on bool)
	DrainTarget(app, target string, on bool) error
}

// Server is the admin API of a node. Make it with New, give it addresses with Prepare, any number of times, and Close it.
// Those are called one at a time, but that Close need not wait for Prepare.
type Server struct {
	node     Node
	log      *logging.Logger
	version  string
	pictures *pictures
	leaving  sync.WaitGroup     // for doors that are closed
	last     time.Duration      // how long their requests may take
	life     context.Context    // done: they have no more time
	end      context.CancelFunc // of it

	mu    sync.Mutex // guards doors: Close may come while Prepare waits for the system
	doors map[config.AdminAddress]*door
}

// New makes a server that has no address yet. The version is that of the program.
func New(node Node, version string, log *logging.Logger) *Server {
	s := &Server{
		node:     node,
		log:      log,
		version:  version,
		pictures: newPictures(node.Snapshot, version),
		doors:    map[config.AdminAddress]*door{},
		last:     lastAnswers,
	}
	s.life, s.end = context.WithCancel(context.Background())
	return s
}

// Plan is a way to another list of addresses. It wants exactly one of Commit and Abandon.
type Plan struct {
	server *Server
	opened []*door
	closed []*door
}

// Prepare listens on the addresses that are new, without serving there yet. All that cannot be listened on are one
// error, and then nothing has changed.
func (s *Server) Prepare(listen []config.AdminAddress) (*Plan, error) {
	p := &Plan{server: s}
	s.mu.Lock()
	doors := maps.Clone(s.doors)
	s.mu.Unlock()
	wanted := map[config.AdminAddress]bool{}
	var errs []error
	for i, address := range listen {
		if wanted[address] {
			continue
		}
		wanted[address] = true
		if doors[address] != nil {
			continue
		}
		d, err := s.open(address)
		if err != nil {
			errs = append(errs, &ListenError{i, address, err})
			continue
		}
		p.opened = append(p.opened, d)
	}
	if len(errs) > 0 {
		p.Abandon()
		return nil, errors.Join(errs...)
	}
	for address, d := range doors {
		if !wanted[address] {
			p.closed = append(p.closed, d)
		}
	}
	return p, nil
}

// ListenError says which of the addresses that Prepare was given cannot be listened on.
type ListenError struct {
	Index   int
	Address config.AdminAddress
	Err     error
}

func (e *ListenError) Error() string {
	return fmt.Sprintf("the admin API cannot listen on %s: %v", config.Port(e.Address), e.Err)
}

// Unwrap gives what the system said.
func (e *ListenError) Unwrap() error { return e.Err }

// Abandon gives back what Prepare took.
func (p *Plan) Abandon() {
	for _, d := range p.opened {
		d.listener.Close()
	}
}

// Commit serves on the new addresses and leaves those that are no longer wanted: requests that are under way there are
// answered.
func (p *Plan) Commit() {
	s := p.server
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range p.opened {
		s.doors[d.address] = d
		d.serve()
	}
	for _, d := range p.closed {
		delete(s.doors, d.address)
		d.listener.Close()
		s.leaving.Go(func() {
			ctx, cancel := context.WithTimeout(s.life, s.last)
			defer cancel()
			d.close(ctx)
		})
	}
}

// lastAnswers is how long the requests of an address that is given up may take.
const lastAnswers = 10 * time.Second

// Close leaves every address. Requests under way are answered until the context is done, and cut off then.
func (s *Server) Close(ctx context.Context) {
	defer s.end()
	defer context.AfterFunc(ctx, s.end)()
	s.mu.Lock()
	for address, d := range s.doors {
		delete(s.doors, address)
		s.leaving.Go(func() { d.close(ctx) })
	}
	s.mu.Unlock()
	s.leaving.Wait()
}
