package admin

import (
	"container/list"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// A conn is a connection that a limiter has accepted.
type conn struct {
	net.Conn
	limiter *limiter
	source  *source
	acting  atomic.Bool // it carries an action, and the limiter must not close it

	// What follows is guarded by limiter.mu.
	element *list.Element // of limiter.conns; nil once it is removed
	asked   time.Time     // when its last request came; zero: there was none
	regular *rate.Limiter // its own, while it is a regular; or nil
	hasSlot bool          // it holds one of limiter.slots, until http.Server closes it
}

// connKey is the key of a request's conn in its context.
type connKey struct{}

// connOf returns the connection of a request; nil if it is not known.
func connOf(r *http.Request) *conn {
	c, _ := r.Context().Value(connKey{}).(*conn)
	return c
}

// requested is called when a request has come. It returns the buckets that the request is charged to; address is the one
// of the address.
func (c *conn) requested(address *rate.Limiter) charges {
	if c == nil {
		return charges{address}
	}
	l := c.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	c.asked = time.Now()
	l.touch(c)
	if own := c.regular; own != nil && own.Tokens() >= 1 {
		return charges{own}
	}
	return charges{address, c.source.bucket}
}

// answered is called when a request was answered successfully.
func (c *conn) answered() {
	if c == nil {
		return
	}
	c.limiter.mu.Lock()
	defer c.limiter.mu.Unlock()
	c.limiter.touch(c)
	c.limiter.promote(c)
}

// Close closes the connection and removes it from the limiter.
func (c *conn) Close() error {
	c.limiter.leave(c)
	return c.Conn.Close()
}

// CloseWrite shuts down the sending side, so that the client can still read the answer.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// outcome is a ResponseWriter that remembers how the answer went.
type outcome struct {
	http.ResponseWriter
	code   int
	failed bool // writing to the client failed
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
