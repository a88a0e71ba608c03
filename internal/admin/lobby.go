package admin

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
	"time"
)

// How many of a lobby's guests may be regulars.
const (
	mostRegulars    = 32
	sourceRegulars  = 8                // of one source
	regularPatience = 90 * time.Second // without a request; then another may have its place as a regular
)

// A lobby holds a bounded number of connections, of all the sockets of an address, and takes whoever comes at once. When it
// is full, one makes room for who comes, so that nobody can keep others out by staying: of the source that has the most
// connections, the one that has done nothing for longest. Connected, asked and been answered is what counts as done.
//
// Two kinds are never cut off: who is about an action, and regulars. A regular is a connection that was answered well
// and comes back: of those there are a bounded number, of each source too, and whoever stays away for regularPatience
// loses that to the next that is answered. So a scraper that was there before a flood goes on being served in it.
//
// More than acceptsPerSecond wait in the backlog of the kernel. Errors of accept are waited out.
type lobby struct {
	most  int
	pace  *pace         // of accepting
	seats chan struct{} // one for each connection that http.Server has: also those that were cut off until it sees that

	mu       sync.Mutex // guards what follows
	guests   list.List  // of *guest, the one that has done nothing for longest in front
	sources  sources
	regulars int
}

func newLobby(most int) *lobby {
	return &lobby{
		most:    most,
		pace:    newPace(rate{acceptsPerSecond, acceptBurst}),
		seats:   make(chan struct{}, 2*most),
		sources: sources{known: map[netip.Prefix]*source{}},
	}
}

// welcome takes a connection in, and returns nil if there is no room.
func (l *lobby) welcome(conn net.Conn) *guest {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.guests.Len() >= l.most && !l.makeRoom() {
		return nil
	}
	g := &guest{Conn: conn, lobby: l, source: l.sources.enter(sourceKey(conn))}
	g.place = l.guests.PushBack(g)
	return g
}

// makeRoom cuts one guest off. The caller holds mu.
func (l *lobby) makeRoom() bool {
	var least *guest
	for e := l.guests.Front(); e != nil; e = e.Next() {
		g := e.Value.(*guest)
		if g.regular == nil && !g.acting.Load() && (least == nil || g.source.guests > least.source.guests) {
			least = g
		}
	}
	if least == nil {
		return false
	}
	l.remove(least)
	least.Conn.Close()
	return true
}

// moved says that a guest has just done something. The caller holds mu.
func (l *lobby) moved(g *guest) {
	if g.place != nil {
		l.guests.MoveToBack(g.place)
	}
}

// befriend makes a guest a regular, if there is a place for one more. The caller holds mu.
func (l *lobby) befriend(g *guest) {
	if g.place == nil || g.regular != nil {
		return
	}
	var full *source // of which one has to go; nil: any
	switch {
	case g.source.regulars == sourceRegulars:
		full = g.source
	case l.regulars < mostRegulars:
		g.regular = newPace(regularRate)
		g.source.regulars++
		l.regulars++
		return
	}
	for e := l.guests.Front(); e != nil; e = e.Next() {
		other := e.Value.(*guest)
		if other.regular == nil || full != nil && other.source != full {
			continue
		}
		if time.Since(other.asked) >= regularPatience { // it is the one that has been away for longest
			l.estrange(other)
			l.befriend(g)
		}
		return
	}
}

// estrange ends that a guest is a regular. The caller holds mu.
func (l *lobby) estrange(g *guest) {
	if g.regular != nil {
		g.regular = nil
		g.source.regulars--
		l.regulars--
	}
}

// remove forgets a guest. The caller holds mu.
func (l *lobby) remove(g *guest) {
	if g.place == nil {
		return
	}
	l.estrange(g)
	l.guests.Remove(g.place)
	g.place = nil
	l.sources.leave(g.source)
}

// leave is called when http.Server is done with a guest.
func (l *lobby) leave(g *guest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(g)
	if g.seated {
		g.seated = false
		<-l.seats
	}
}

// awaitsRequest reports whether a guest has not made its first request yet.
func (l *lobby) awaitsRequest() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for e := l.guests.Front(); e != nil; e = e.Next() {
		if e.Value.(*guest).asked.IsZero() {
			return true
		}
	}
	return false
}

// empty cuts off all guests.
func (l *lobby) empty() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for e := l.guests.Front(); e != nil; e = l.guests.Front() {
		g := e.Value.(*guest)
		l.remove(g)
		g.Conn.Close()
	}
}
