package config

import (
	"cmp"
	"slices"

	"tcp-proxy/internal/sanitize"
)

// problem is an Error whose place is still an offset.
type problem struct {
	offset int
	path   string
	text   string
}

// problems collects problems of a source: the first MaxErrors by place, and the number of all, so that memory is bounded
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

// report converts problems to Errors.
func (s *source) report(ps *problems) Errors {
	ps.sort()
	errs := make(Errors, len(ps.kept), len(ps.kept)+1)
	for i, p := range ps.kept {
		at := s.place(p.offset)
		errs[i] = Error{File: s.name, Line: at.line, Column: at.column, Path: p.path, Text: sanitize.Text(p.text, maxText)}
	}
	if rest := ps.count - len(errs); rest > 0 {
		errs = append(errs, s.more(rest))
	}
	return errs
}
