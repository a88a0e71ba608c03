package admin

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/linux"
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

// A door is one address where the API is served.
type door struct {
	address  config.AdminAddress
	listener *lobby
	http     http.Server
	serving  sync.WaitGroup // for http.Serve
}

// open listens on an address.
func (s *Server) open(address config.AdminAddress) (*door, error) {
	l, err := listen(address)
	if err != nil {
		return nil, err
	}
	d := &door{address: address, listener: newLobby(l, mostGuests)}
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
	return d, nil
}

func listen(address config.AdminAddress) (net.Listener, error) {
	if address.Network == "unix" {
		return linux.ListenUnix(address.Path, adminMode)
	}
	network := "tcp"
	if address.Addr.Addr().Is4() {
		network = "tcp4" // package net would listen on every address of IPv6, too, for 0.0.0.0
	}
	lc := net.ListenConfig{}
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(context.Background(), network, address.Addr.String())
	var errno unix.Errno
	if errors.As(err, &errno) {
		err = errno
	}
	return l, err
}

func (d *door) serve() {
	d.serving.Go(func() {
		_ = d.http.Serve(d.listener) // it ends when the door is closed, and says no more than that
	})
}

// close takes no more requests, lets those under way be answered until the context is done, and cuts off the rest.
func (d *door) close(ctx context.Context) {
	d.listener.Close() // http.Server knows it only once it serves
	if d.http.Shutdown(ctx) != nil {
		d.http.Close()
	}
	d.serving.Wait()
	d.listener.empty()
}
