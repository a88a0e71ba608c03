package loop

import (
	"math"
	"time"
)

// wheel holds the moments at which sessions want to be looked at: two rings of slots, each a list through the slab. A
// moment is met within one tick after it, never before. What lies beyond the coarse ring is put in its last slot and
// placed again from there, so that any moment can be had. Everything takes constant time and no memory.
//
// A session that moves bytes does not touch the wheel: it stays where it is and is placed anew when its moment comes.
type wheel struct {
	slab *slab
	tick int64 // ticks that are over
	fine [slots]int32
	far  [slots]int32
	used [2]int // how many sessions are in each ring
	rest bool   // the slots of tick are not done with
	soon int64  // no session is in a fine slot before this tick; at most tick: not known
}

const (
	tick  = int64(10 * time.Millisecond)
	slots = 256
)

// timer is a session's place in the wheel: at is the moment, and next and prev are sessions of the same slot. The
// slot is 1 + its index, negative in the far ring; 0 is none.
type timer struct {
	at         int64
	next, prev int32
	slot       int16
}

var noTimer = timer{next: -1, prev: -1}

func (w *wheel) init(slab *slab, now int64) {
	w.slab = slab
	w.tick = now / tick
	for i := range slots {
		w.fine[i], w.far[i] = -1, -1
	}
}

// arm sets the session's moment, in place of the one it may have.
func (w *wheel) arm(s *session, at int64) {
	w.disarm(s)
	s.at = at
	w.place(s, w.tick+1)
}

// place puts the session into the slot of its moment, but not before a tick.
func (w *wheel) place(s *session, earliest int64) {
	due := max((s.at+tick-1)/tick, earliest)
	var head *int32
	if due-w.tick < slots {
		i := due % slots
		s.slot, head = int16(1+i), &w.fine[i]
		w.used[0]++
		w.soon = min(w.soon, due)
	} else {
		i := min(due/slots, w.tick/slots+slots-1) % slots
		s.slot, head = int16(-1-i), &w.far[i]
		w.used[1]++
	}
	s.prev, s.next = -1, *head
	if s.next >= 0 {
		w.slab.at(s.next).prev = s.id
	}
	*head = s.id
}

// disarm takes the session's moment away, if it has one.
func (w *wheel) disarm(s *session) {
	if s.slot == 0 {
		return
	}
	var head *int32
	if s.slot > 0 {
		head = &w.fine[s.slot-1]
		w.used[0]--
	} else {
		head = &w.far[-s.slot-1]
		w.used[1]--
	}
	if s.prev >= 0 {
		w.slab.at(s.prev).next = s.next
	} else {
		*head = s.next
	}
	if s.next >= 0 {
		w.slab.at(s.next).prev = s.prev
	}
	s.timer = noTimer
}

// advance calls due for the sessions whose moment has come, each of which is disarmed then: for all of them, or until due
// reports false. The next call goes on from there. The steps in between are bounded, however long ago the last call was.
func (w *wheel) advance(now int64, due func(*session) (more bool)) {
	end := now / tick
	if end-w.tick >= slots*slots {
		w.rebuild(end)
	}
	for moved := 0; w.rest || w.step(end); {
		if w.tick%slots == 0 && !w.cascade(&moved) {
			return
		}
		for head := &w.fine[w.tick%slots]; *head >= 0; {
			s := w.slab.at(*head)
			w.disarm(s)
			if !due(s) {
				return
			}
		}
		w.rest = false
	}
}

// step goes on to the next tick that has something in its slots. It reports false if there is none up to end, which is
// where the wheel stands then.
func (w *wheel) step(end int64) bool {
	if w.tick >= end {
		return false
	}
	next := w.nextTick()
	w.tick = min(next, end)
	w.rest = next <= end
	return w.rest
}

// portion is how many sessions an advance places anew at most.
const portion = 4096

// cascade places anew what is in the far slot whose time has begun. It reports false if there is too much to be done at
// once; moved counts.
func (w *wheel) cascade(moved *int) bool {
	for head := &w.far[w.tick/slots%slots]; *head >= 0; *moved++ {
		if *moved == portion {
			return false
		}
		s := w.slab.at(*head)
		at := s.at
		w.disarm(s)
		s.at = at
		w.place(s, w.tick) // this very tick still has its turn
	}
	return true
}

// rebuild places all sessions anew, as seen from a tick that is beyond both rings: most are due then.
func (w *wheel) rebuild(end int64) {
	rings := [...][slots]int32{w.fine, w.far}
	w.init(w.slab, (end-1)*tick)
	w.used, w.soon, w.rest = [2]int{}, 0, false
	for _, ring := range rings {
		for _, id := range ring {
			for id >= 0 {
				s := w.slab.at(id)
				id = s.next
				at := s.at
				s.timer = noTimer
				s.at = at
				w.place(s, end)
			}
		}
	}
}

// next is the moment to call advance at, or -1 if nothing is in the wheel. It may be early, never late.
func (w *wheel) next() int64 {
	if w.rest {
		return w.tick * tick
	}
	next := w.nextTick()
	if next == math.MaxInt64 {
		return -1
	}
	return next * tick
}

// nextTick is the next tick with something in its slots, or before it; math.MaxInt64 if there is none.
func (w *wheel) nextTick() int64 {
	next := int64(math.MaxInt64)
	if w.used[0] > 0 {
		if w.soon <= w.tick {
			w.soon = w.first()
		}
		next = w.soon
	}
	if w.used[1] > 0 {
		next = min(next, w.firstFar())
	}
	return next
}

// first is the tick of the first fine slot that is in use.
func (w *wheel) first() int64 {
	for t := w.tick + 1; t < w.tick+slots; t++ {
		if w.fine[t%slots] >= 0 {
			return t
		}
	}
	return math.MaxInt64
}

// firstFar is the tick at which the first far slot that is in use is placed anew.
func (w *wheel) firstFar() int64 {
	for n := w.tick/slots + 1; n < w.tick/slots+slots; n++ {
		if w.far[n%slots] >= 0 {
			return n * slots
		}
	}
	return math.MaxInt64
}
