package testkit

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A Server handles connections until it is closed.
type Server struct {
	Addr     net.Addr
	Accepted atomic.Int64 // connections so far

	listener net.Listener
	handlers sync.WaitGroup // the accept loop and every handler
}

// Serve starts a server at an address. See ServeOn.
func Serve(t testing.TB, network, address string, handle func(net.Conn)) *Server {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return ServeOn(t, l, handle)
}

// ServeOn starts a server on a listener, which is the server's from then on. Its connections have Timeout for everything
// and are closed once they are handled. The end of the test closes the server.
func ServeOn(t testing.TB, l net.Listener, handle func(net.Conn)) *Server {
	s := &Server{Addr: l.Addr(), listener: l}
	s.handlers.Go(func() { s.accept(handle) })
	t.Cleanup(s.Close)
	return s
}

// accept goes on after an error: a test may take the descriptors away for a while.
func (s *Server) accept(handle func(net.Conn)) {
	for {
		c, err := s.listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			time.Sleep(time.Millisecond)
			continue
		}
		s.Accepted.Add(1)
		s.handlers.Go(func() {
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(Timeout)) // it fails on a closed one, and so does what comes next
			handle(c)
		})
	}
}

// Leave makes the server refuse, while the connections that it has go on.
func (s *Server) Leave() { s.listener.Close() }

// Close makes the server refuse, and waits until all of its connections are handled.
func (s *Server) Close() {
	s.Leave()
	s.handlers.Wait()
}
