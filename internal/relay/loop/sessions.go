package loop

import "tcp-proxy/internal/reactor"

// sessionTable holds the sessions of a loop. The table of their cold halves has the same numbers.
type sessionTable struct {
	reactor.Table[sessionHot]
	colds reactor.Array[sessionCold]
}

// take gives a slot to a session. All is zero but its id, and the memory of its Session.
func (t *sessionTable) take() *sessionHot {
	n, s := t.Acquire()
	if int(n) >= t.colds.Size() {
		t.colds.Grow()
	}
	s.id = n
	s.side = noSides
	return s
}

// give takes it back.
func (t *sessionTable) give(s *sessionHot) {
	c := t.cold(s)
	c.port, c.pace, c.held = nil, nil, [2][]byte{} // what Session keeps is memory for the next
	*s = sessionHot{id: s.id, side: noSides}
	t.Release(s.id)
}

var noSides = [3]side{{fd: -1}, {fd: -1}, {fd: -1}}

// cold is the session's cold half.
func (t *sessionTable) cold(s *sessionHot) *sessionCold { return t.colds.At(s.id) }

// key names the session as events and commands do: until it has ended.
func (t *sessionTable) key(s *sessionHot) uint64 { return t.Key(s.id) }
