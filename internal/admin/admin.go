// Package admin serves what can be seen of a proxy, and what it can be told, over HTTP on any number of unix and TCP
// addresses: a page for people, /api/v1/status, /metrics, /healthz and /readyz, and actions by POST, which are for the
// unix sockets alone. All that is shown comes from a proxy.Snapshot.
//
// The API costs the proxy little, whatever its clients do: the connections and requests of each address are limited
// (limiter.go, rates.go), and a snapshot is rendered once for all requests of a short time (rendering.go).
package admin

import (
	"context"
	"os"
	"sync"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/logging"
	"tcp-proxy/internal/proxy"
	"tcp-proxy/internal/sanitize"
)

// Descriptors returns the most descriptors that so many addresses hold: for each its socket, its connections, and one more
// connection until another is closed for it.
func Descriptors(addresses int) uint64 { return uint64(addresses) * (2 + maxConns) }

// Node is the proxy that the API shows and controls. Its methods are called from many goroutines at once.
type Node interface {
	Snapshot() proxy.Snapshot
	Stage() proxy.Stage // that of a Snapshot, at less cost
	Running() proxy.Running
	Reload(context.Context) (proxy.Changes, error)
	Drain(on bool)
	DrainTarget(app, target string, on bool) error
	Sessions(context.Context, proxy.SessionQuery) proxy.Sessions
	CloseSession(ctx context.Context, id uint64) error
	LogLevel() proxy.LogLevel
	SetLogLevel(level string, d time.Duration, by string) error
	ResetLogLevel(by string)
}

// Server is the admin API of a node. Make it with New, give it addresses with Prepare, any number of times, and Close it.
// Those are called one at a time, except that Close may be called during Prepare.
type Server struct {
	node        Node
	log         *logging.Logger
	version     string
	renderings  *renderings
	running     runningConfig
	lists       *lister            // of sessions
	leaving     sync.WaitGroup     // for listeners that are being closed
	overlapping sync.WaitGroup     // for those of them that still accept, for listen.Grace
	last        time.Duration      // how long requests may take there
	reloadOnly  bool               // it takes reloads, and answers nothing else
	conns       int                // connections of an address
	life        context.Context    // done: their time is over
	end         context.CancelFunc // of it
	closing     context.Context    // done: Close was called
	stop        context.CancelFunc // of it

	mu        sync.Mutex // guards listeners: Close may be called during Prepare
	listeners map[config.AdminAddress]*listener
}

// New makes a server that has no address yet. version is that of the program.
func New(node Node, version string, log *logging.Logger) *Server {
	s := &Server{
		node:       node,
		log:        log,
		version:    version,
		renderings: newRenderings(func() proxy.Snapshot { return identified(node.Snapshot(), version) }, version),
		lists:      newLister(),
		listeners:  map[config.AdminAddress]*listener{},
		last:       lastAnswers,
		conns:      maxConns,
	}
	s.life, s.end = context.WithCancel(context.Background())
	s.closing, s.stop = context.WithCancel(context.Background())
	return s
}

// identified adds to a snapshot which proxy it is of: through a tunnel or a port mapping the address does not say.
func identified(s proxy.Snapshot, version string) proxy.Snapshot {
	s.ProgramVersion = version
	if name, err := os.Hostname(); err == nil {
		s.Hostname = sanitize.Text(name, sanitize.Limit)
	}
	return s
}

// NewReloadOnly makes a server that takes only reloads, for a unix socket that is not in the configuration.
func NewReloadOnly(node Node, version string, log *logging.Logger) *Server {
	s := New(node, version, log)
	s.reloadOnly, s.conns = true, maxReloadConns
	return s
}

// lastAnswers is how long requests may take at an address that is gone.
const lastAnswers = 10 * time.Second

// Close closes every address. Requests under way are answered until the context is done; then their connections are closed.
func (s *Server) Close(ctx context.Context) {
	s.stop()
	defer s.end()
	defer context.AfterFunc(ctx, s.end)()
	s.mu.Lock()
	for address, l := range s.listeners {
		delete(s.listeners, address)
		s.leaving.Go(func() { l.close(ctx) })
	}
	s.mu.Unlock()
	s.leaving.Wait()
}
