package admin

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How many connections of a limiter may be regulars.
const (
	maxRegulars       = 32
	maxSourceRegulars = 8                // of one source
	regularTimeout    = 90 * time.Second // without a request; then another connection may become a regular in its place
)

// A limiter bounds the connections of one address, over all its sockets. A new connection is taken at once. When the limiter
// is full, another connection is closed for it, so that idle connections cannot keep others out: of the source that has the
// most connections, the one that has been inactive for longest. Connecting, sending a request and getting an answer are
// activity.
//
// Two kinds of connection are not closed: those that carry an action, and regulars. A regular is a connection that got a
// successful answer. Their number is bounded, and so is the number of each source. A regular that sends no request for
// regularTimeout loses that to the next connection that gets an answer. So a scraper that was connected before a flood is
// served during it.
//
// Accepting is limited to acceptsPerSecond; further connections wait in the kernel's backlog.
type limiter struct {
	max     int // connections
	accepts *rate.Limiter
	slots   chan struct{} // one for each connection that http.Server has, closed ones included until it notices

	mu       sync.Mutex // guards what follows
	conns    list.List  // of *conn, the longest inactive first
	sources  sources
	regulars int
}

func newLimiter(max int) *limiter {
	return &limiter{
		max:     max,
		accepts: newBucket(limit{acceptsPerSecond, acceptBurst}),
		slots:   make(chan struct{}, 2*max),
		sources: sources{known: map[netip.Prefix]*source{}},
	}
}

// add adds a connection. It returns nil if there is no room.
func (l *limiter) add(accepted net.Conn) *conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns.Len() >= l.max && !l.makeRoom() {
		return nil
	}
	c := &conn{Conn: accepted, limiter: l, source: l.sources.enter(sourceKey(accepted))}
	c.element = l.conns.PushBack(c)
	return c
}

// makeRoom closes one connection, and reports whether there was one to close. The caller holds mu.
func (l *limiter) makeRoom() bool {
	var victim *conn
	for e := l.conns.Front(); e != nil; e = e.Next() {
		c := e.Value.(*conn)
		if c.regular == nil && !c.acting.Load() && (victim == nil || c.source.conns > victim.source.conns) {
			victim = c
		}
	}
	if victim == nil {
		return false
	}
	l.remove(victim)
	victim.Conn.Close()
	return true
}

// touch notes activity of a connection. The caller holds mu.
func (l *limiter) touch(c *conn) {
	if c.element != nil {
		l.conns.MoveToBack(c.element)
	}
}

// promote makes a connection a regular, if the limits allow one more. The caller holds mu.
func (l *limiter) promote(c *conn) {
	if c.element == nil || c.regular != nil {
		return
	}
	var full *source // the source that has to lose a regular; nil: any
	switch {
	case c.source.regulars == maxSourceRegulars:
		full = c.source
	case l.regulars < maxRegulars:
		c.regular = newBucket(regularRate)
		c.source.regulars++
		l.regulars++
		return
	}
	for e := l.conns.Front(); e != nil; e = e.Next() {
		other := e.Value.(*conn)
		if other.regular == nil || full != nil && other.source != full {
			continue
		}
		if time.Since(other.asked) >= regularTimeout { // it is the longest inactive one
			l.demote(other)
			l.promote(c)
		}
		return
	}
}

// demote makes a regular an ordinary connection. The caller holds mu.
func (l *limiter) demote(c *conn) {
	if c.regular != nil {
		c.regular = nil
		c.source.regulars--
		l.regulars--
	}
}

// remove forgets a connection. The caller holds mu.
func (l *limiter) remove(c *conn) {
	if c.element == nil {
		return
	}
	l.demote(c)
	l.conns.Remove(c.element)
	c.element = nil
	l.sources.leave(c.source)
}

// leave is called when http.Server closes a connection.
func (l *limiter) leave(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(c)
	if c.hasSlot {
		c.hasSlot = false
		<-l.slots
	}
}

// awaitsRequest reports whether a connection has not sent its first request yet.
func (l *limiter) awaitsRequest() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for e := l.conns.Front(); e != nil; e = e.Next() {
		if e.Value.(*conn).asked.IsZero() {
			return true
		}
	}
	return false
}

// closeAll closes all connections.
func (l *limiter) closeAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for e := l.conns.Front(); e != nil; e = l.conns.Front() {
		c := e.Value.(*conn)
		l.remove(c)
		c.Conn.Close()
	}
}
