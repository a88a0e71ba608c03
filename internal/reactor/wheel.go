package reactor

import (
	"math/bits"
	"time"
)

// wheel is timers by number: two rings of slots, each of which has a list. A timer is due within one tick after its
// moment, never before. What lies beyond the far ring is put in its last slot and placed again from there, so that any
// moment can be had. Everything takes constant time; memory is one node for each number.
//
// When time goes on, the lists of the slots that have passed are appended as a whole: those of the fine ring to the list
// of what is due, those of the far ring to the list of what is to be placed anew. However long that was ago, these are at
// most as many steps as there are slots, and what is armed afterwards is placed as seen from the present.
type wheel struct {
	nodes Array[node] // the heads of the lists, and then one for each number
	tick  int64       // ticks that have passed
	fine  ring
	far   ring
}

const (
	tick  = int64(10 * time.Millisecond)
	slots = 256
)

// node is a timer, or the head of a list, which is a ring of nodes. It has no pointers, which the garbage collector would
// have to follow. It is not armed while next is 0.
type node struct {
	at         int64
	next, prev int32 // indexes of nodes
}

// The indexes of the heads.
const (
	dueHead    = 1 // the timers that are due
	againHead  = 2 // the timers that are to be placed anew
	fineHead   = 3 // the first of the slots
	farHead    = fineHead + slots
	firstTimer = farHead + slots
)

func (w *wheel) init(now int64) {
	w.tick = now / tick
	for w.nodes.Size() < firstTimer {
		w.nodes.Grow()
	}
	for i := int32(dueHead); i < firstTimer; i++ {
		*w.nodes.At(i) = node{next: i, prev: i}
	}
}

// arm sets the timer of a number, in place of the one that it may have.
func (w *wheel) arm(n int32, at int64) {
	i := firstTimer + n
	for int(i) >= w.nodes.Size() {
		w.nodes.Grow()
	}
	x := w.nodes.At(i)
	if x.next != 0 {
		w.unlink(x)
	}
	x.at = at
	w.place(i, x, w.tick+1)
}

// disarm takes the timer of a number away, if it has one.
func (w *wheel) disarm(n int32) {
	i := firstTimer + n
	if int(i) >= w.nodes.Size() {
		return
	}
	if x := w.nodes.At(i); x.next != 0 {
		w.unlink(x)
		x.next = 0
	}
}

// advance goes on to a moment. What is due then is given out by take.
func (w *wheel) advance(now int64) {
	if end := now / tick; end > w.tick {
		for t := w.tick + 1; t <= min(end, w.tick+slots-1); t++ {
			w.append(dueHead, fineHead+int32(t%slots))
		}
		block := w.tick / slots
		for b := block + 1; b <= min(end/slots, block+slots-1); b++ {
			w.append(againHead, farHead+int32(b%slots))
		}
		w.tick = end
	}
	w.placeAgain()
}

// portion is how many timers an advance places anew at most.
const portion = 4096

func (w *wheel) placeAgain() {
	for n := 0; n < portion && !w.empty(againHead); n++ {
		i := w.nodes.At(againHead).next
		x := w.nodes.At(i)
		w.unlink(x)
		w.place(i, x, w.tick)
	}
}

// take takes out the next number that is due. It reports false if there is none.
func (w *wheel) take() (n int32, ok bool) {
	i := w.nodes.At(dueHead).next
	if i == dueHead {
		return 0, false
	}
	x := w.nodes.At(i)
	w.unlink(x)
	x.next = 0
	return i - firstTimer, true
}

// next is the moment to call advance and take, or Never. It may be early, never late.
func (w *wheel) next() int64 {
	if !w.empty(dueHead) || !w.empty(againHead) {
		return w.tick * tick
	}
	next := w.first(&w.fine, fineHead, w.tick)
	if block := w.first(&w.far, farHead, w.tick/slots); block != Never {
		next = min(next, block*slots)
	}
	if next == Never {
		return Never
	}
	return next * tick
}

// place puts a timer into the list of its moment, but not before a tick.
func (w *wheel) place(i int32, x *node, earliest int64) {
	due := x.at / tick
	if x.at%tick > 0 {
		due++
	}
	due = max(due, earliest)
	switch {
	case due <= w.tick:
		w.link(i, x, dueHead)
	case due-w.tick < slots:
		w.fine.mark(uint64(due) % slots)
		w.link(i, x, fineHead+int32(due%slots))
	default:
		block := min(due/slots, w.tick/slots+slots-1) % slots
		w.far.mark(uint64(block))
		w.link(i, x, farHead+int32(block))
	}
}

// link appends a node to a list.
func (w *wheel) link(i int32, x *node, head int32) {
	h := w.nodes.At(head)
	x.next, x.prev = head, h.prev
	w.nodes.At(h.prev).next = i
	h.prev = i
}

func (w *wheel) unlink(x *node) {
	w.nodes.At(x.prev).next = x.next
	w.nodes.At(x.next).prev = x.prev
}

// append moves all nodes of the list from to the end of another.
func (w *wheel) append(to, from int32) {
	f := w.nodes.At(from)
	if f.next == from {
		return
	}
	h := w.nodes.At(to)
	w.nodes.At(h.prev).next, w.nodes.At(f.next).prev = f.next, h.prev
	w.nodes.At(f.prev).next, h.prev = to, f.prev
	f.next, f.prev = from, from
}

func (w *wheel) empty(head int32) bool { return w.nodes.At(head).next == head }

// first is the first turn of a ring after now whose slot has a timer, or Never. A turn of the fine ring is a tick, one of
// the far ring a round of the fine one.
func (w *wheel) first(r *ring, heads int32, now int64) int64 {
	for {
		slot, ok := r.after(uint64(now) % slots)
		switch {
		case !ok:
			return Never
		case !w.empty(heads + int32(slot)):
			return now + int64((slot-uint64(now))%slots)
		}
		r.clear(slot)
	}
}

// ring has a bit for each slot. Where it is 0 the slot is empty; where it is 1 that remains to be seen.
type ring [slots / 64]uint64

func (r *ring) mark(slot uint64)  { r[slot/64%uint64(len(r))] |= 1 << (slot % 64) }
func (r *ring) clear(slot uint64) { r[slot/64%uint64(len(r))] &^= 1 << (slot % 64) }

// after is the first slot that is marked: behind slot now, round to slot now itself. It reports false if none is.
func (r *ring) after(now uint64) (slot uint64, ok bool) {
	const words = uint64(len(r))
	start := (now + 1) % slots
	n := start / 64
	word := r[n%words] &^ (1<<(start%64) - 1)
	for range words {
		if word != 0 {
			break
		}
		n++
		word = r[n%words]
	}
	return n%words*64 + uint64(bits.TrailingZeros64(word)), word != 0
}
