package config

import (
	"errors"
	"fmt"
	"strings"

	"tcp-proxy/internal/sanitize"
)

// MaxErrors is the maximum number of errors that are reported for a configuration.
const MaxErrors = 100

const (
	maxText = 1000 // of the text of an error, in bytes
	maxFile = 4096 // of the name of a file, in bytes: PATH_MAX
)

// Error is one error in a configuration, with its place.
type Error struct {
	File         string
	Line, Column int    // from 1; the column counts characters. 0: unknown
	Path         string // such as apps[0].ports[2]; empty: the document
	Text         string // one line

	cause error // the %w argument of Errorf
	rest  int   // the number of unreported errors that this one stands for; 0: it stands for itself
}

// Error returns FILE:LINE:COLUMN: apps[0].ports[2]: TEXT, without the parts that are unknown.
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

// Unwrap returns the cause, if there is one.
func (e Error) Unwrap() error { return e.cause }

// Errors is all errors of a configuration, sorted by place; if there are more than MaxErrors, the first ones and one more
// that has the number of the rest.
type Errors []Error

// Error returns one line for each error.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns each Error.
func (es Errors) Unwrap() []error {
	errs := make([]error, len(es))
	for i, e := range es {
		errs[i] = e
	}
	return errs
}

// Brief returns an error as one line of bounded length; for Errors, the first one and the number of the others.
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

// MaxLines is the maximum number of errors that FirstLines shows.
const MaxLines = 10

// FirstLines returns an error as lines of bounded length, one for each of Errors: at most MaxLines, and one with the number
// of the others.
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

// count returns the number of errors, including those that are not reported.
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

// Errorf returns an error at a path such as "apps[0].ports[2]" or "max_workers", in which apps are numbered as in Apps; in
// the error they are numbered by file. If the file does not contain the path, the
// place is that of the nearest enclosing value. Without a file there is no place. The format may contain one %w.
func (c *Config) Errorf(path, format string, args ...any) Error {
	err := fmt.Errorf(format, args...)
	e := Error{Path: path, Text: sanitize.Text(err.Error(), maxText), cause: errors.Unwrap(err)}
	if c.files != nil {
		cause := e.cause
		e = c.files.at(c.files.locate(path), path, e.Text)
		e.cause = cause
	}
	return e
}

// More returns the error that stands for n more after MaxErrors.
func (c *Config) More(n int) Error {
	if c.files == nil {
		return Error{Text: "and " + more(n), rest: n}
	}
	return c.files.more(n)
}

// PortPath returns the path of Apps[app].Ports[port] in the file, such as "apps[0].ports[1]". All ports of a range have the
// path of the range.
func (c *Config) PortPath(app, port int) string {
	if app < len(c.elements) && port < len(c.elements[app]) {
		port = c.elements[app][port]
	}
	return fmt.Sprintf("apps[%d].ports[%d]", app, port)
}
