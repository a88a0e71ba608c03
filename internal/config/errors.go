package config

import (
	"errors"
	"fmt"
	"strings"

	"tcp-proxy/internal/sanitize"
)

// MaxErrors is how many errors of a configuration are told.
const MaxErrors = 100

const (
	maxText = 1000 // bytes of the text of one
	maxFile = 4096 // bytes of the name of a file, PATH_MAX
)

// Error is one thing that is wrong with a configuration, and where.
type Error struct {
	File         string
	Line, Column int    // from 1; the column counts characters. 0: no place is known
	Path         string // such as apps[0].ports[2]; empty: the document
	Text         string // one line

	cause error // what Errorf was given with %w
	rest  int   // this stands for so many errors that are not told; 0: for itself
}

// Error gives FILE:LINE:COLUMN: apps[0].ports[2]: what is wrong, without the parts that are not known.
func (e Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(sanitize.Text(e.File, maxFile))
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

// Errors is what is wrong with a configuration, sorted by place: everything, or the first hundred errors and one more
// that says how many there are beside them.
type Errors []Error

// Error gives one error a line.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
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

// Brief gives an error as one line of bounded length; of Errors the first, and how many there are beside it.
func Brief(err error) string {
	var es Errors
	if !errors.As(err, &es) || len(es) == 0 {
		return sanitize.Text(strings.Join(strings.Fields(err.Error()), " "), maxText)
	}
	first := sanitize.Text(es[0].Error(), maxText)
	if others := es.count() - 1; others > 0 {
		return fmt.Sprintf("%s (and %s)", first, more(others))
	}
	return first
}

// MaxLines is how many errors FirstLines gives.
const MaxLines = 10

// FirstLines gives an error as lines of bounded length, at most MaxLines and one that says how many more there are: of
// Errors, one a line.
func FirstLines(err error) string {
	lines := strings.Split(err.Error(), "\n")
	if len(lines) <= MaxLines {
		return sanitize.Lines(err.Error(), maxText)
	}
	all := len(lines)
	var es Errors
	if errors.As(err, &es) {
		all = es.count()
	}
	return sanitize.Lines(strings.Join(lines[:MaxLines], "\n"), maxText) + "\nand " + more(all-MaxLines)
}

// count is how many errors there are, with those that are not told.
func (es Errors) count() int {
	n := len(es)
	if n > 0 && es[n-1].rest > 0 {
		n += es[n-1].rest - 1
	}
	return n
}

func more(n int) string {
	if n == 1 {
		return "1 more error"
	}
	return fmt.Sprintf("%d more errors", n)
}

// Errorf makes an error at a path such as "apps[0].ports[2]" or "max_workers". A path that the file does not mention
// gets the place of the nearest thing around it that the file does mention. A Config built by hand has no places. The
// format may have one %w.
func (c *Config) Errorf(path, format string, args ...any) Error {
	err := fmt.Errorf(format, args...)
	e := Error{Path: path, Text: sanitize.Text(err.Error(), maxText), cause: errors.Unwrap(err)}
	if c.source != nil {
		at := c.source.place(c.source.locate(path))
		e.File, e.Line, e.Column = c.source.name, at.line, at.column
	}
	return e
}

// More makes the last error of several that are MaxErrors: it stands for n more that are not told.
func (c *Config) More(n int) Error {
	if c.source == nil {
		return Error{Text: "and " + more(n), rest: n}
	}
	return c.source.more(n)
}

func (s *source) more(n int) Error { return Error{File: s.name, Text: "and " + more(n), rest: n} }

// PortPath gives the path of Apps[app].Ports[port] in the file, such as "apps[0].ports[1]". All ports of a range have
// the path of the range.
func (c *Config) PortPath(app, port int) string {
	if app < len(c.elements) && port < len(c.elements[app]) {
		port = c.elements[app][port]
	}
	return fmt.Sprintf("apps[%d].ports[%d]", app, port)
}
