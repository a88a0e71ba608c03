package config

import (
	"bytes"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/tailscale/hujson"
)

// source is the text of a configuration and its syntax tree: what gives a path its line and column. It does not
// change once it is parsed, and is safe for concurrent use.
type source struct {
	name  string
	data  []byte // valid UTF-8 without a byte order mark
	root  hujson.Value
	marks func() []place
}

// place is an offset in a source with its line and column, both from 1. The column counts characters.
type place struct {
	offset, line, column int
}

func (p place) String() string {
	return fmt.Sprintf("line %d, column %d", p.line, p.column)
}

func newSource(name string, data []byte) *source {
	s := &source{name: name, data: data}
	s.marks = sync.OnceValue(func() []place { return mark(s.data) })
	return s
}

// markEvery is the distance in bytes between two marks in one line. It bounds the work of place in a file that is one
// long line.
const markEvery = 1024

// mark gives the place of every start of a line, and one every markEvery bytes in a long line.
func mark(data []byte) []place {
	at := place{0, 1, 1}
	marks := []place{at}
	for i, last := 0, 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		i += size
		at.column++
		if r == '\n' {
			at.line, at.column = at.line+1, 1
		}
		if r == '\n' || i-last >= markEvery {
			at.offset, last = i, i
			marks = append(marks, at)
		}
	}
	return marks
}

// place gives the line and column of an offset; one beyond the end is the end.
func (s *source) place(offset int) place {
	offset = min(offset, len(s.data))
	marks := s.marks()
	at := marks[sort.Search(len(marks), func(i int) bool { return marks[i].offset > offset })-1]
	at.column += utf8.RuneCount(s.data[at.offset:offset])
	at.offset = offset
	return at
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
