package config

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/tailscale/hujson"
)

// source is the text of a configuration and its syntax tree: what gives a path its line and column. It does not
// change once it is parsed, and is safe for concurrent use.
type source struct {
	name   string
	data   []byte // UTF-8 without a byte order mark
	padded []byte // data and a newline
	root   hujson.Value
	marks  func() []place
}

// place is an offset in a source with its line and column, both from 1. The column counts characters.
type place struct {
	offset, line, column int
}

func (p place) String() string {
	return fmt.Sprintf("line %d, column %d", p.line, p.column)
}

// after gives the place that a text which begins at p leads to.
func (p place) after(text []byte) place {
	p.offset += len(text)
	if lines := bytes.Count(text, []byte("\n")); lines > 0 {
		p.line += lines
		p.column = 1
		text = text[bytes.LastIndexByte(text, '\n')+1:]
	}
	p.column += utf8.RuneCount(text)
	return p
}

// newSource makes a source of a copy of data.
func newSource(name string, data []byte) *source {
	padded := append(append(make([]byte, 0, len(data)+1), data...), '\n')
	s := &source{name: name, data: padded[:len(data):len(data)], padded: padded}
	s.marks = sync.OnceValue(func() []place { return mark(s.data) })
	return s
}

// markEvery is the distance in bytes between two marks. It bounds the work of place.
const markEvery = 1024

// mark gives the place of the first character in every markEvery bytes; none of them begins with a part of one.
func mark(data []byte) []place {
	at := place{0, 1, 1}
	marks := append(make([]place, 0, len(data)/markEvery+1), at)
	for next := markEvery; next < len(data); next += markEvery {
		end := next
		for end < len(data) && !utf8.RuneStart(data[end]) {
			end++
		}
		at = at.after(data[at.offset:end])
		marks = append(marks, at)
	}
	return marks
}

// place gives the line and column of an offset; one beyond the end is the end.
func (s *source) place(offset int) place {
	offset = min(offset, len(s.data))
	marks := s.marks()
	i := min(offset/markEvery, len(marks)-1)
	if marks[i].offset > offset {
		i--
	}
	return marks[i].after(s.data[marks[i].offset:offset])
}

// locate gives the offset of the value at a path, or of the nearest value around it that the source has.
func (s *source) locate(path string) int {
	at := &s.root
	for path != "" {
		var next *hujson.Value
		if index, ok := strings.CutPrefix(path, "["); ok {
			index, path, _ = strings.Cut(index, "]")
			next = element(at, index)
		} else {
			path = strings.TrimPrefix(path, ".")
			end := strings.IndexAny(path, ".[")
			if end < 0 {
				end = len(path)
			}
			next = member(at, path[:end])
			path = path[end:]
		}
		if next == nil {
			break
		}
		at = next
	}
	return at.StartOffset
}

func element(v *hujson.Value, index string) *hujson.Value {
	array, ok := v.Value.(*hujson.Array)
	i, err := strconv.Atoi(index)
	if !ok || err != nil || i < 0 || i >= len(array.Elements) {
		return nil
	}
	return &array.Elements[i]
}

func member(v *hujson.Value, key string) *hujson.Value {
	object, ok := v.Value.(*hujson.Object)
	if !ok {
		return nil
	}
	for i := range object.Members {
		if m := &object.Members[i]; sameKey(text(&m.Name), key) {
			return &m.Value
		}
	}
	return nil
}

// sameKey compares without regard to the case of ASCII letters; key is ASCII. Equal lengths leave no room for the
// letters beyond ASCII that fold into it.
func sameKey(s, key string) bool {
	return len(s) == len(key) && strings.EqualFold(s, key)
}

// text gives the value of a string.
func text(v *hujson.Value) string {
	literal := v.Value.(hujson.Literal)
	if bytes.IndexByte(literal, '\\') < 0 {
		return string(literal[1 : len(literal)-1])
	}
	return literal.String()
}
