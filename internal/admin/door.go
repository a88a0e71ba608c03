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
	mostGuests    = 128              // connections; beyond them one makes room: see lobby
	headerTimeout = 5 * time.Second  // for the header of a request
	readTimeout   = 10 * time.Second // for a whole request
	writeTimeout  = 30 * time.Second // for the answer, from the end of the header
	actionTimeout = 2 * time.Minute  // the same of an action
	idleTimeout   = 2 * time.Minute  // between two requests of a connection
	mostHeader    = 16 << 10         // bytes
	mostBody      = 4 << 10          // bytes of a request
	adminMode     = 0o660            // of a unix socket: for root, the service and its group
)

// A door is one address where the API is served. It has one listening socket, and those that it took over from addresses
// before it.
type door struct {
	address config.AdminAddress
	lobby   *lobby // of all its sockets
	sockets map[listen.Key]*limitedListener
	http    http.Server
	serving sync.WaitGroup // for http.Serve
}

// newDoor makes a door without sockets.
func (s *Server) newDoor(address config.AdminAddress) *door {
	d := &door{address: address, lobby: newLobby(mostGuests), sockets: map[listen.Key]*limitedListener{}}
	d.http = http.Server{
		Handler:           s.handler(address.Network == "unix", newPace(doorRate)),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    mostHeader,
		ErrorLog:          s.log.Standard("admin"),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, guestKey{}, c.(*guest))
		},
	}
	return d
}

// add gives the door a listening socket, and port is what that was made for.
func (d *door) add(key listen.Key, l net.Listener, port config.Port) {
	d.sockets[key] = newLimitedListener(l, port, d.lobby)
}

// serve accepts on every socket.
func (d *door) serve() {
	for _, l := range d.sockets {
		d.serving.Go(func() {
			_ = d.http.Serve(l) // it ends when l is closed, and says no more than that
		})
	}
}

// closeSockets takes no more connections.
func (d *door) closeSockets() {
	for _, l := range d.sockets {
		l.Close()
	}
}

// close takes no more requests, lets those under way be answered until the context is done, and cuts off the rest.
func (d *door) close(ctx context.Context) {
	d.closeSockets()
	d.serving.Wait() // from then on Shutdown knows every connection that was accepted
	if d.http.Shutdown(ctx) != nil {
		d.http.Close()
	}
	d.lobby.empty()
}
