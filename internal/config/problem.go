package config

import (
	"cmp"
	"slices"

	"tcp-proxy/internal/sanitize"
)

// problem is an Error whose place is still an offset into the source.
type problem struct {
	offset int
	path   string
	text   string
}

// problems collects what is wrong with a source: of all that it is told, the first MaxErrors by their place, and how
// many there are. A source that is nothing but mistakes costs no more memory than that.
type problems struct {
	kept  []problem // fewer than 2*MaxErrors
	full  bool      // there are MaxErrors before bound
	bound int       // an offset
	count int
}

// wants counts a problem at an offset, and reports whether it is one to be added.
func (ps *problems) wants(offset int) bool {
	ps.count++
	return !ps.full || offset < ps.bound
}

// add adds a problem that was wanted.
func (ps *problems) add(p problem) {
	if ps.kept = append(ps.kept, p); len(ps.kept) == 2*MaxErrors {
		ps.sort()
		ps.full, ps.bound = true, ps.kept[MaxErrors-1].offset
	}
}

// sort sorts by place, and drops what comes after MaxErrors.
func (ps *problems) sort() {
	slices.SortStableFunc(ps.kept, func(a, b problem) int { return cmp.Compare(a.offset, b.offset) })
	ps.kept = ps.kept[:min(len(ps.kept), MaxErrors)]
}

// report turns problems into Errors.
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
