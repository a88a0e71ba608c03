package config

import (
	"cmp"
	"slices"
)

// problem is an Error whose place is still an offset.
type problem struct {
	offset int
	path   string
	text   string
}

// problems collects problems of a configuration: the first MaxErrors by place, and the number of all, so that memory is bounded
// however many there are.
type problems struct {
	kept  []problem // fewer than 2*MaxErrors
	full  bool      // there are MaxErrors problems before bound
	bound int       // an offset
	count int
}

// keep counts a problem at an offset, and reports whether to add it.
func (ps *problems) keep(offset int) bool {
	ps.count++
	return !ps.full || offset < ps.bound
}

// add adds a problem for which keep returned true.
func (ps *problems) add(p problem) {
	if ps.kept = append(ps.kept, p); len(ps.kept) == 2*MaxErrors {
		ps.sort()
		ps.full, ps.bound = true, ps.kept[MaxErrors-1].offset
	}
}

// sort sorts problems by place, and drops those after MaxErrors.
func (ps *problems) sort() {
	slices.SortStableFunc(ps.kept, func(a, b problem) int { return cmp.Compare(a.offset, b.offset) })
	ps.kept = ps.kept[:min(len(ps.kept), MaxErrors)]
}
