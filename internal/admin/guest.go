package admin

import (
	"container/list"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// A guest is a connection in a lobby.
type guest struct {
	net.Conn
	lobby  *lobby
	source *source
	acting atomic.Bool // it is about an action, and must not be cut off

	// What follows is guarded by lobby.mu.
	place   *list.Element // nil once it is gone
	asked   time.Time     // when its last request came; zero: none has
	regular *pace         // of its own requests, while it is a regular; or nil
	seated  bool          // it has one of lobby.seats, until http.Server closes it
}

// guestKey is the key of a request's guest in its context.
type guestKey struct{}

// guestOf is who makes a request; nil if that is not known.
func guestOf(r *http.Request) *guest {
	g, _ := r.Context().Value(guestKey{}).(*guest)
	return g
}

// asks is called when a request of the guest has come. It returns what the request is charged to.
func (g *guest) asks(door *pace) toll {
	if g == nil {
		return toll{door}
	}
	l := g.lobby
	l.mu.Lock()
	defer l.mu.Unlock()
	g.asked = time.Now()
	l.moved(g)
	if own := g.regular; own != nil && own.wait(1) == 0 {
		return toll{own}
	}
	return toll{door, g.source.pace}
}

// answered is called when the guest has a good answer.
func (g *guest) answered() {
	if g == nil {
		return
	}
	g.lobby.mu.Lock()
	defer g.lobby.mu.Unlock()
	g.lobby.moved(g)
	g.lobby.befriend(g)
}

// Close closes the connection and gives back its place.
func (g *guest) Close() error {
	g.lobby.leave(g)
	return g.Conn.Close()
}

// CloseWrite finishes what goes to the client, who may still be about to read why.
func (g *guest) CloseWrite() error {
	if half, ok := g.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// outcome is an answer that says what became of it.
type outcome struct {
	http.ResponseWriter
	code   int
	failed bool // the client does not take it
}

func (o *outcome) WriteHeader(code int) {
	o.code = code
	o.ResponseWriter.WriteHeader(code)
}

func (o *outcome) Write(p []byte) (int, error) {
	n, err := o.ResponseWriter.Write(p)
	o.failed = o.failed || err != nil
	return n, err
}

// Unwrap is for http.ResponseController.
func (o *outcome) Unwrap() http.ResponseWriter { return o.ResponseWriter }

func (o *outcome) good() bool { return !o.failed && (o.code == 0 || o.code < http.StatusBadRequest) }
