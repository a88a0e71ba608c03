package reactor

// Table is numbered slots for values that never move. Each slot can be used again and again; a key names one use of one
// slot, so that what is late for the use before finds nothing. The zero Table is empty. Memory is kept.
type Table[T any] struct {
	slots Array[slot[T]]
	free  []int32
}

type slot[T any] struct {
	generation uint32 // how often the slot was taken or given back: odd while it is in use
	value      T      // behind it: what Find looks at first and what its caller does are in one cache line
}

// A key is the data of an event (epoll_ctl(2)): the generation in the upper half; in the lower one the number, and in the
// last bits a tag, which is for the user of the key. Special marks data that is no key: no slot has that generation.
const (
	tagBits = 2
	Special = uint64(1<<32-1) << 32
)

// Wake is the data of the event that Post causes.
const Wake = Special | (1<<32 - 1)

// Tag is the tag of a key, of which Table gives those with 0; the others, up to 3, come by |.
func Tag(key uint64) int { return int(key & (1<<tagBits - 1)) }

// Acquire takes a slot: the one that was given back last, or else the lowest one. The value is as Release found it, or zero.
func (t *Table[T]) Acquire() (n int32, value *T) {
	if len(t.free) == 0 {
		t.grow()
	}
	last := len(t.free) - 1
	n = t.free[last]
	t.free = t.free[:last]
	s := t.slots.At(n)
	s.begin()
	return n, &s.value
}

// begin begins a use.
func (s *slot[T]) begin() {
	s.generation++
	if s.generation == 1<<32-1 {
		s.generation = 1
	}
}

func (t *Table[T]) grow() {
	first := int32(t.slots.Size())
	t.slots.Grow()
	for i := int32(chunk) - 1; i >= 0; i-- {
		t.free = append(t.free, first+i)
	}
}

// Release gives a slot back that is in use.
func (t *Table[T]) Release(n int32) {
	t.slots.At(n).generation++
	t.free = append(t.free, n)
}

// Renew ends this use of a slot and begins another, with the same value: the keys of before find nothing any more.
func (t *Table[T]) Renew(n int32) {
	s := t.slots.At(n)
	s.generation++
	s.begin()
}

// At is the value of a slot, in use or not.
func (t *Table[T]) At(n int32) *T { return &t.slots.At(n).value }

// InUse reports whether a slot is in use.
func (t *Table[T]) InUse(n int32) bool { return t.slots.At(n).generation%2 == 1 }

// Key names this use of a slot.
func (t *Table[T]) Key(n int32) uint64 {
	return uint64(t.slots.At(n).generation)<<32 | uint64(uint32(n))<<tagBits
}

// Find is the value that a key names, whatever its tag; nil if that use of the slot has ended.
func (t *Table[T]) Find(key uint64) *T {
	s := t.slots.At(int32(uint32(key) >> tagBits))
	if s.generation != uint32(key>>32) {
		return nil
	}
	return &s.value
}

// Size is how many slots there are, in use or not.
func (t *Table[T]) Size() int { return t.slots.Size() }
