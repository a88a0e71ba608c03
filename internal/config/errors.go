package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Error is one thing that is wrong with a configuration, and where.
type Error struct {
	File         string
	Line, Column int    // from 1; the column counts characters. 0: no place is known
	Path         string // such as apps[0].ports[2]; empty: the document
	Text         string

	cause error // what Errorf was given with %w
}

// Error gives FILE:LINE:COLUMN: apps[0].ports[2]: what is wrong, without the parts that are not known.
func (e Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File)
		if e.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
		}
		b.WriteString(": ")
	}
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	b.WriteString(e.Text)
	return b.String()
}

// Unwrap gives the error behind this one, if there is one.
func (e Error) Unwrap() error { return e.cause }

// Errors is everything that is wrong with a configuration, sorted by place.
type Errors []Error

// maxPrinted bounds what a hopeless file prints.
const maxPrinted = 100

// Error gives one error a line, and no more than the first hundred.
func (es Errors) Error() string {
	lines := make([]string, 0, maxPrinted+1)
	for i, e := range es {
		if i == maxPrinted {
			lines = append(lines, fmt.Sprintf("… and %d more", len(es)-i))
			break
		}
		lines = append(lines, e.Error())
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives every single Error.
func (es Errors) Unwrap() []error {
	errs := make([]error, len(es))
	for i, e := range es {
		errs[i] = e
	}
	return errs
}

// problem is an Error whose place is still an offset into the source.
type problem struct {
	offset int
	path   string
	text   string
}

// report turns problems into Errors, sorted by place.
func (s *source) report(problems []problem) Errors {
	slices.SortStableFunc(problems, func(a, b problem) int { return cmp.Compare(a.offset, b.offset) })
	errs := make(Errors, len(problems))
	for i, p := range problems {
		at := s.place(p.offset)
		errs[i] = Error{File: s.name, Line: at.line, Column: at.column, Path: p.path, Text: p.text}
	}
	return errs
}

// Errorf makes an error at a path such as "apps[0].ports[2]" or "max_workers". A path that the file does not mention
// gets the place of the nearest thing around it that the file does mention. A Config built by hand has no places. The
// format may have one %w.
func (c *Config) Errorf(path, format string, args ...any) Error {
	err := fmt.Errorf(format, args...)
	e := Error{Path: path, Text: err.Error(), cause: errors.Unwrap(err)}
	if c.source != nil {
		at := c.source.place(c.source.locate(path))
		e.File, e.Line, e.Column = c.source.name, at.line, at.column
	}
	return e
}

// PortPath gives the path of Apps[app].Ports[port] in the file, such as "apps[0].ports[1]". All ports of a range have
// the path of the range.
func (c *Config) PortPath(app, port int) string {
	if app < len(c.elements) && port < len(c.elements[app]) {
		port = c.elements[app][port]
	}
	return fmt.Sprintf("apps[%d].ports[%d]", app, port)
}
