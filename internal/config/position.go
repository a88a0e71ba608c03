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

// source is the text of a file and its syntax tree. It does not change after parsing, and is safe for concurrent use.
type source struct {
	name   string
	base   int    // the offset of its first byte among all files; its own methods take offsets from its first byte
	values int    // how many keys and values it may have; scan subtracts those that it has
	data   []byte // UTF-8 without a byte order mark
	padded []byte // data and a newline
	root   hujson.Value
	marks  func() []place
}

// place is an offset in a source, with its line and column, both from 1. The column counts characters.
type place struct {
	offset, line, column int
}

func (p place) String() string {
	return fmt.Sprintf("line %d, column %d", p.line, p.column)
}

// advance returns the place after a text that begins at p.
func (p place) advance(text []byte) place {
	p.offset += len(text)
	if lines := bytes.Count(text, []byte("\n")); lines > 0 {
		p.line += lines
		p.column = 1
		text = text[bytes.LastIndexByte(text, '\n')+1:]
	}
	p.column += utf8.RuneCount(text)
	return p
}

// newSource returns a source with a copy of data without a byte order mark.
func newSource(name string, data []byte) *source {
	data = bytes.TrimPrefix(data, []byte("\uFEFF"))
	padded := append(append(make([]byte, 0, len(data)+1), data...), '\n')
	s := &source{name: name, values: maxValues, data: padded[:len(data):len(data)], padded: padded}
	s.marks = sync.OnceValue(func() []place { return findMarks(s.data) })
	return s
}

// markInterval is the distance between two marks in bytes. It bounds the work of place.
const markInterval = 1024

// findMarks returns the place of the first character in every markInterval bytes; a mark is never inside a character.
func findMarks(data []byte) []place {
	at := place{0, 1, 1}
	marks := append(make([]place, 0, len(data)/markInterval+1), at)
	for next := markInterval; next < len(data); next += markInterval {
		end := next
		for end < len(data) && !utf8.RuneStart(data[end]) {
			end++
		}
		at = at.advance(data[at.offset:end])
		marks = append(marks, at)
	}
	return marks
}

// place returns the line and column of an offset; an offset beyond the end counts as the end.
func (s *source) place(offset int) place {
	offset = min(offset, len(s.data))
	marks := s.marks()
	i := min(offset/markInterval, len(marks)-1)
	if marks[i].offset > offset {
		i--
	}
	return marks[i].advance(s.data[marks[i].offset:offset])
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

// sameKey compares keys without regard to the case of ASCII letters; key is ASCII. The lengths must be equal, which
// excludes non-ASCII letters that fold to ASCII.
func sameKey(s, key string) bool {
	return len(s) == len(key) && strings.EqualFold(s, key)
}

// text returns the value of a string.
func text(v *hujson.Value) string {
	literal := v.Value.(hujson.Literal)
	if bytes.IndexByte(literal, '\\') < 0 {
		return string(literal[1 : len(literal)-1])
	}
	return literal.String()
}
