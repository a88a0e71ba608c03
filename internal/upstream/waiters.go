package upstream

import "hash/maphash"

// group is those who wait and have tried the same targets: what one of them cannot use none can. They are a heap
// (container/heap), who has waited longest first.
type group struct {
	mark    uint64 // of what they have tried: see Tried.mark
	waiters []*Waiter
	place   int // in the queue
}

// groupOf is the group of those who have tried the same; a new one, which is empty, if there is none. The caller holds mu.
func (q *queue) groupOf(tried *Attempts) *group {
	mark := tried.mark()
	for _, g := range q.groups {
		if g.mark == mark && g.waiters[0].tried.same(tried) {
			return g
		}
	}
	g := &group{mark: mark, place: len(q.groups)}
	q.groups = append(q.groups, g)
	return g
}

// disband takes out a group that is empty. The caller holds mu.
func (q *queue) disband(g *group) {
	last := len(q.groups) - 1
	q.groups[g.place] = q.groups[last]
	q.groups[g.place].place = g.place
	q.groups[last] = nil
	q.groups = q.groups[:last]
}

// Len implements heap.Interface.
func (g *group) Len() int { return len(g.waiters) }

// Less implements heap.Interface.
func (g *group) Less(i, j int) bool { return g.waiters[i].tried.ticket < g.waiters[j].tried.ticket }

// Swap implements heap.Interface.
func (g *group) Swap(i, j int) {
	g.waiters[i], g.waiters[j] = g.waiters[j], g.waiters[i]
	g.waiters[i].place, g.waiters[j].place = i, j
}

// Push implements heap.Interface.
func (g *group) Push(x any) {
	w := x.(*Waiter)
	w.place = len(g.waiters)
	g.waiters = append(g.waiters, w)
}

// Pop implements heap.Interface.
func (g *group) Pop() any {
	last := len(g.waiters) - 1
	w := g.waiters[last]
	g.waiters[last] = nil
	g.waiters = g.waiters[:last]
	return w
}

var markSeed = maphash.MakeSeed()

// mark is a number that is the same for those who have tried the same targets, in whatever order, and hardly ever for
// others.
func (t *Attempts) mark() uint64 {
	mark := uint64(0)
	for _, x := range t.targets {
		mark += maphash.Comparable(markSeed, x.state)
	}
	return mark
}

// same reports whether both are the same targets.
func (t *Attempts) same(other *Attempts) bool {
	if len(t.targets) != len(other.targets) {
		return false
	}
	for _, x := range other.targets {
		if !t.has(x) {
			return false
		}
	}
	return true
}
