package probe

// queue is checks that wait for their turn, first come first served.
type queue struct {
	checks []*check
	first  int // those before it are gone
}

func (q *queue) push(c *check) {
	if q.first > len(q.checks)/2 {
		left := copy(q.checks, q.checks[q.first:])
		clear(q.checks[left:])
		q.checks, q.first = q.checks[:left], 0
	}
	q.checks = append(q.checks, c)
}

// any reports whether somebody waits.
func (q *queue) any() bool { return q.first < len(q.checks) }

// pop returns nil if nobody waits.
func (q *queue) pop() *check {
	if !q.any() {
		return nil
	}
	c := q.checks[q.first]
	q.checks[q.first] = nil
	q.first++
	return c
}
