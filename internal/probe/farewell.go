package probe

import (
	"container/list"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
)

// What ending connections in good order may cost. They hold no place that a check needs.
const (
	MaxFarewells    = 256             // connections at once; beyond them the oldest is reset
	ownFarewells    = 4               // the same of one target
	awaitClose      = time.Second     // for an HTTP server, which was asked to close, before it is sent FIN
	awaitFIN        = 5 * time.Second // for the other end's FIN after ours
	mostDiscarded   = 1 << 20         // bytes of one connection
	discardsPerTurn = 16              // reads of one connection before the others have their turn
)

// farewell is a connection whose check has its verdict, and which is to end without a reset: FIN is sent, what still
// comes is read and discarded until the other end's FIN, and only then the socket is closed. To close it before would
// answer the next byte of a server that is still writing with a reset (RFC 9293, section 3.10.7.1; for HTTP see
// RFC 9112, section 9.6).
type farewell struct {
	fd    int
	of    *check
	seat  int32
	until int64 // when its patience ends
	read  int   // bytes that were discarded
	told  bool  // FIN was sent
	place *list.Element
}

// farewells are those under way. Each has a number, which its events carry.
type farewells struct {
	seats []farewellSeat
	free  []int32
	limit int
	asked list.List // of *farewell that wait for an HTTP server to close; that whose patience ends first in front
	told  list.List // the same of those that wait for the other end's FIN
}

type farewellSeat struct {
	farewell *farewell
	turn     uint32
}

// farewellEvent marks the events of farewells: no seat of a check has that bit.
const farewellEvent = 1 << 31

// newFarewells makes room for MaxFarewells, or for a 32nd of the descriptors that this process may have.
func newFarewells() farewells {
	limit := MaxFarewells
	if descriptors, err := linux.DescriptorLimit(); err == nil {
		limit = int(farewellsOf(descriptors))
	}
	return farewells{limit: limit}
}

// farewellsOf is how many farewells there may be in a process that may have so many descriptors.
func farewellsOf(descriptors uint64) uint64 { return min(MaxFarewells, max(descriptors/32, 1)) }

// count is how many are under way.
func (w *farewells) count() int { return w.asked.Len() + w.told.Len() }

// of is the farewell that an event is about; nil if that is over.
func (w *farewells) of(event uint64) *farewell {
	s := &w.seats[uint32(event)&^farewellEvent]
	if s.turn != uint32(event>>32) {
		return nil
	}
	return s.farewell
}

// oldest is the one that has had most of its time; of the target of c, or of any if c is nil.
func (w *farewells) oldest(c *check) *farewell {
	for _, l := range []*list.List{&w.told, &w.asked} {
		for e := l.Front(); e != nil; e = e.Next() {
			if f := e.Value.(*farewell); c == nil || f.of == c {
				return f
			}
		}
	}
	return nil
}

// board gives a farewell its seat, and returns the data for its events.
func (w *farewells) board(f *farewell) (event uint64) {
	if n := len(w.free); n > 0 {
		f.seat = w.free[n-1]
		w.free = w.free[:n-1]
	} else {
		f.seat = int32(len(w.seats))
		w.seats = append(w.seats, farewellSeat{})
	}
	s := &w.seats[f.seat]
	s.farewell = f
	s.turn++
	return w.event(f)
}

func (w *farewells) event(f *farewell) uint64 {
	return uint64(w.seats[f.seat].turn)<<32 | farewellEvent | uint64(uint32(f.seat))
}

// land takes the seat back.
func (w *farewells) land(f *farewell) {
	w.list(f).Remove(f.place)
	w.seats[f.seat].farewell = nil
	w.free = append(w.free, f.seat)
	f.of.parting--
}

func (w *farewells) list(f *farewell) *list.List {
	if f.told {
		return &w.told
	}
	return &w.asked
}

// next is the first moment at which one loses its patience, or -1.
func (w *farewells) next() int64 {
	next := int64(-1)
	for _, l := range []*list.List{&w.told, &w.asked} {
		if e := l.Front(); e != nil {
			if f := e.Value.(*farewell); next < 0 || f.until < next {
				next = f.until
			}
		}
	}
	return next
}

// postpone gives all of them that much more time.
func (w *farewells) postpone(by int64) {
	for _, l := range []*list.List{&w.told, &w.asked} {
		for e := l.Front(); e != nil; e = e.Next() {
			e.Value.(*farewell).until += by
		}
	}
}

// part takes its connection from a check that has its verdict, to end it in good order.
func (p *Prober) part(c *check) {
	w := &p.farewells
	if c.parting == ownFarewells {
		p.cut(w.oldest(c))
	}
	if w.count() == w.limit {
		p.cut(w.oldest(nil))
	}
	f := &farewell{fd: c.fd, of: c}
	p.schedule.remove(c)
	p.land(c)
	event := w.board(f)
	c.parting++
	f.until = p.now + int64(awaitClose)
	f.place = w.asked.PushBack(f)
	if err := p.epoll.Modify(f.fd, unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLET, event); err != nil {
		p.cut(f)
		return
	}
	if !c.watch.http() {
		p.tell(f)
	}
	p.attend(f)
}

// tell sends FIN.
func (p *Prober) tell(f *farewell) {
	w := &p.farewells
	w.asked.Remove(f.place)
	f.told = true
	f.until = p.now + int64(awaitFIN)
	f.place = w.told.PushBack(f)
	linux.CloseWrite(f.fd) // fails only if the connection is gone, which reading tells
}

// attend reads what has come, and closes the socket at the end of it.
func (p *Prober) attend(f *farewell) {
	buffer := p.buffer[:cap(p.buffer)]
	for range discardsPerTurn {
		n, errno := linux.Read(f.fd, buffer)
		switch f.read += n; {
		case errno == unix.EAGAIN:
			return
		case errno != 0, n == 0:
			p.leave(f)
			return
		case f.read > mostDiscarded:
			p.cut(f)
			return
		}
	}
	if err := p.epoll.Modify(f.fd, unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLET, p.farewells.event(f)); err != nil {
		p.cut(f) // or no event would tell of what is left
	}
}

// leave closes a connection that both ends have finished, or that is broken.
func (p *Prober) leave(f *farewell) {
	linux.CloseNow(f.fd)
	p.farewells.land(f)
}

// cut resets a connection that the other end does not finish.
func (p *Prober) cut(f *farewell) {
	linux.Abort(f.fd)
	p.farewells.land(f)
}

// partOverdue goes on with the farewells whose patience has ended.
func (p *Prober) partOverdue() {
	w := &p.farewells
	for e := w.asked.Front(); e != nil && e.Value.(*farewell).until <= p.now; e = w.asked.Front() {
		p.tell(e.Value.(*farewell))
	}
	for e := w.told.Front(); e != nil && e.Value.(*farewell).until <= p.now; e = w.told.Front() {
		f := e.Value.(*farewell)
		if p.attend(f); w.seats[f.seat].farewell == f {
			p.cut(f)
		}
	}
}

// partAtOnce closes all connections that wait for the other end. What has come is read, so that it is a FIN that goes
// out where the other end is quiet.
func (p *Prober) partAtOnce() {
	w := &p.farewells
	for f := w.oldest(nil); f != nil; f = w.oldest(nil) {
		if p.attend(f); w.seats[f.seat].farewell == f {
			p.leave(f)
		}
	}
}
