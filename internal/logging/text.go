package logging

import (
	"fmt"

	"tcp-proxy/internal/sanitize"
)

// The limits of texts in an entry, in bytes.
const (
	mostMessage = 2 << 10
	mostField   = 1 << 10
	mostStack   = 16 << 10 // of the field StackKey
)

// StackKey is the field of a stack trace, which may be longer than others.
const StackKey = "stack"

// bound makes every text of an entry one line of bounded length, since parts may come from outside, and sets the size of the
// entry.
func (e *entry) bound() {
	e.message = sanitize.Text(e.message, mostMessage)
	e.size = int64(len(e.message)) + 256
	for key, value := range e.fields {
		most := mostField
		if key == StackKey {
			most = mostStack
		}
		fit, size := bounded(value, most)
		e.fields[key] = fit
		e.size += int64(len(key)+size) + 64
	}
}

// bounded returns a value as it is if it is a number or a boolean, otherwise as a bounded text, and the length of the text.
func bounded(value any, most int) (any, int) {
	var text string
	switch v := value.(type) {
	case nil, bool, int, int32, int64, uint, uint32, uint64, float64:
		return v, 0
	case Event: // a constant
		return v, len(v)
	case string:
		text = v
	case error:
		text = v.Error()
	default:
		text = fmt.Sprint(v)
	}
	text = sanitize.Text(text, most)
	return text, len(text)
}
