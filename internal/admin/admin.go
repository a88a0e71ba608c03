// Package admin serves what can be seen of a proxy, and what it can be told, over HTTP on any number of unix and TCP
// addresses: a page for people, /api/v1/status, /metrics, /healthz and /readyz, and actions by POST, which are for the
// unix sockets alone. All that is shown comes from a proxy.Snapshot.
//
// Whoever asks costs the proxy little, whatever he does: connections, requests and bytes of each address are bounded
// (door.go, pace.go), and what is expensive to draw is drawn once for all who ask at a time (picture.go).
package admin

import (
	"context"
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
	making   sync.WaitGroup     // for those of them that accept for listen.Grace yet
	last     time.Duration      // how long their requests may take
	life     context.Context    // done: they have no more time
	end      context.CancelFunc // of it
	closing  context.Context    // done: Close was called
	shut     context.CancelFunc // of it

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
	s.closing, s.shut = context.WithCancel(context.Background())
	return s
}

// lastAnswers is how long the requests of an address that is given up may take.
const lastAnswers = 10 * time.Second

// Close leaves every address. Requests under way are answered until the context is done, and cut off then.
func (s *Server) Close(ctx context.Context) {
	s.shut()
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
