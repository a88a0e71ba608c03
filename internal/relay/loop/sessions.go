package loop

import "tcp-proxy/internal/reactor"

// sessionTable holds the sessions of a loop. The table of their cold halves has the same numbers.
type sessionTable struct {
	reactor.Table[session]
	colds reactor.Array[sessionCold]
}

// take gives a slot to a session. All is zero but its id, and the memory of the cold half's approach.
func (t *sessionTable) take() *session {
	n, s := t.Acquire()
	if int(n) >= t.colds.Size() {
		t.colds.Grow()
	}
	s.id = n
	s.side = noSides
	return s
}

// give takes it back.
func (t *sessionTable) give(s *session) {
	x := t.cold(s)
	*x = sessionCold{approach: x.approach}
	// Field by field, or a counter that another goroutine reads would be written without care.
	s.state, s.first, s.queued, s.option, s.paced = free, 0, false, false, false
	s.peerPort, s.peerZone, s.peer = 0, 0, [16]byte{}
	s.begun, s.connected, s.moved, s.brief = 0, 0, 0, 0
	s.until, s.rivalUntil, s.alone = 0, 0, 0
	s.side = noSides
	for d := range s.flow {
		f := &s.flow[d]
		f.moved.Store(0)
		f.metered, f.pipe, f.pending, f.offset, f.streak = 0, 0, 0, 0, 0
	}
	t.Release(s.id)
}

var noSides = [3]side{{fd: -1}, {fd: -1}, {fd: -1}}

// cold is the session's cold half.
func (t *sessionTable) cold(s *session) *sessionCold { return t.colds.At(s.id) }

// key names the session as events and commands do: until it has ended.
func (t *sessionTable) key(s *session) uint64 { return t.Key(s.id) }
