package admin

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/listen"
)

// What one address takes at most.
const (
	maxConns       = 128              // connections; beyond them one is closed for the next: see limiter
	maxReloadConns = 4                // the same at an address that takes only reloads
	headerTimeout  = 5 * time.Second  // for the header of a request
	readTimeout    = 10 * time.Second // for a whole request
	writeTimeout   = 30 * time.Second // for the answer, from the end of the header
	actionTimeout  = 2 * time.Minute  // the same of an action
	idleTimeout    = 2 * time.Minute  // between two requests of a connection
	maxHeader      = 16 << 10         // bytes
	maxBody        = 4 << 10          // bytes of a request
	adminMode      = 0o660            // of a unix socket: for root, the service and its group
)

// A listener serves the API at one address. It has one listening socket, and those that it took over from addresses before
// it.
type listener struct {
	address config.AdminAddress
	limiter *limiter // of all its sockets
	sockets map[listen.Key]*limitedListener
	http    http.Server
	serving sync.WaitGroup // for http.Serve
}

// newListener makes a listener without sockets.
func (s *Server) newListener(address config.AdminAddress) *listener {
	l := &listener{address: address, limiter: newLimiter(s.conns), sockets: map[listen.Key]*limitedListener{}}
	l.http = http.Server{
		Handler:           s.handler(address.Network == "unix", newBucket(addressRate)),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          s.log.Standard("admin"),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c.(*conn))
		},
	}
	return l
}

// add adds a listening socket; port is the address that it was made for.
func (l *listener) add(key listen.Key, socket net.Listener, port config.Port) {
	l.sockets[key] = newLimitedListener(socket, port, l.limiter)
}

// serve accepts on every socket.
func (l *listener) serve() {
	for _, socket := range l.sockets {
		l.serving.Go(func() {
			_ = l.http.Serve(socket) // it returns when the socket is closed, and its error says no more
		})
	}
}

// closeSockets stops accepting.
func (l *listener) closeSockets() {
	for _, socket := range l.sockets {
		socket.Close()
	}
}

// close stops accepting, waits for the requests under way until the context is done, and closes all connections.
func (l *listener) close(ctx context.Context) {
	l.closeSockets()
	l.serving.Wait() // from then on Shutdown knows every connection that was accepted
	if l.http.Shutdown(ctx) != nil {
		l.http.Close()
	}
	l.limiter.closeAll()
}
