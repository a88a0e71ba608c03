package reactor

// Array is a list that grows, and the elements of which never move. The zero Array is empty.
type Array[T any] struct {
	chunks []*[chunk]T
}

// chunk is how many elements are allocated at once.
const chunk = 64

// At is element n, which must be less than Size.
func (a *Array[T]) At(n int32) *T { return &a.chunks[uint32(n)/chunk][uint32(n)%chunk] }

// Size is how many elements there are.
func (a *Array[T]) Size() int { return len(a.chunks) * chunk }

// Grow adds zero elements, at least one.
func (a *Array[T]) Grow() { a.chunks = append(a.chunks, new([chunk]T)) }
