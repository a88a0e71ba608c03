package loop

// slab holds the sessions of a loop in chunks that never move. The table beside them has the same indexes. Memory is
// kept for the sessions to come.
type slab struct {
	chunks []*[chunk]session
	beside []*[chunk]beside
	spare  []int32 // places that are free
	open   int
}

const chunk = 64

// generations is how many a place has; the last number is for events that are about no session.
const generations = 1<<32 - 1

// take gives a place to a session. All is zero but its id and generation, and the memory of the beside's approach.
func (b *slab) take() *session {
	if len(b.spare) == 0 {
		b.grow()
	}
	last := len(b.spare) - 1
	s := b.at(b.spare[last])
	b.spare = b.spare[:last]
	b.open++
	return s
}

// give takes it back.
func (b *slab) give(s *session) {
	x := b.besideOf(s)
	*x = beside{approach: x.approach}
	// Field by field, or a counter that another goroutine reads would be written without care.
	s.generation = (s.generation + 1) % generations
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
	b.spare = append(b.spare, s.id)
	b.open--
}

var noSides = [3]side{{fd: -1}, {fd: -1}, {fd: -1}}

func (b *slab) grow() {
	first := int32(len(b.chunks) * chunk)
	b.chunks = append(b.chunks, new([chunk]session))
	b.beside = append(b.beside, new([chunk]beside))
	for i := int32(chunk) - 1; i >= 0; i-- { // the lowest place is taken first
		s := b.at(first + i)
		s.id = first + i
		s.side = noSides
		s.timer = noTimer
		b.spare = append(b.spare, s.id)
	}
}

func (b *slab) at(id int32) *session        { return &b.chunks[id/chunk][id%chunk] }
func (b *slab) besideOf(s *session) *beside { return &b.beside[s.id/chunk][s.id%chunk] }

// find returns the session of that place and generation, or nil if it is over.
func (b *slab) find(id int32, generation uint32) *session {
	s := b.at(id)
	if s.state == free || s.generation != generation {
		return nil
	}
	return s
}

// size is how many places there are, free ones included.
func (b *slab) size() int { return len(b.chunks) * chunk }
