package upstream

import "hash/maphash"

// group is the waiting sessions that have tried the same targets: if one of them cannot use a target, none can. It is
// a heap (container/heap) with the session that has waited longest on top.
type group struct {
	fingerprint uint64 // of the targets that they have tried
	waiters     []*Waiter
	index       int // in queue.groups
}

// groupOf returns the group of the sessions that have tried the same targets, or a new, empty one. The caller holds mu.
func (q *queue) groupOf(tried *Attempts) *group {
	mark := tried.fingerprint()
	for _, g := range q.groups {
		if g.fingerprint == mark && g.waiters[0].tried.sameAs(tried) {
			return g
		}
	}
	g := &group{fingerprint: mark, index: len(q.groups)}
	q.groups = append(q.groups, g)
	return g
}

// dropGroup removes an empty group. The caller holds mu.
func (q *queue) dropGroup(g *group) {
	last := len(q.groups) - 1
	q.groups[g.index] = q.groups[last]
	q.groups[g.index].index = g.index
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
	g.waiters[i].index, g.waiters[j].index = i, j
}

// Push implements heap.Interface.
func (g *group) Push(x any) {
	w := x.(*Waiter)
	w.index = len(g.waiters)
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

var fingerprintSeed = maphash.MakeSeed()

// fingerprint is a hash of the set of targets that were tried; their order does not matter. Different sets rarely
// share one.
func (t *Attempts) fingerprint() uint64 {
	mark := uint64(0)
	for _, x := range t.targets {
		mark += maphash.Comparable(fingerprintSeed, x.state)
	}
	return mark
}

// sameAs reports whether two sessions have tried the same targets.
func (t *Attempts) sameAs(other *Attempts) bool {
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
