package config

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf16"
)

// Limits of a configuration that bound the work and memory of the parser.
const (
	maxDepth  = 64        // of nested objects and arrays; a configuration needs six
	maxValues = 1_000_000 // keys and values; 1,000 apps with ten targets each have fewer than 100,000
)

// scanError is a problem that scan found.
type scanError struct {
	problem
	from  int  // the start of the string, comment or bracket
	fatal bool // the parser must not see this and what follows
}

// scan finds what the parser does not check or reports poorly: strings and comments that do not end, mismatched brackets,
// invalid escapes, and input beyond the limits. It returns the first problem, or nil.
func (s *source) scan() *scanError {
	var open []int
	values := 1
	defer func() { s.values -= values }()
	for i := 0; i < len(s.data); i++ {
		switch c := s.data[i]; c {
		case '"':
			end, wrong := scanString(s.data, i)
			if wrong != nil {
				return &scanError{problem: *wrong, from: i}
			}
			i = end
		case '/':
			end := commentEnd(s.data[i:])
			if end < 0 {
				return &scanError{problem{offset: i, text: "this comment is never closed"}, i, false}
			}
			i += end
		case ',', ':':
			values++
		case '{', '[':
			values++
			if len(open) == maxDepth {
				return &scanError{problem{offset: i, text: fmt.Sprintf("nested more than %d levels deep", maxDepth)}, i, true}
			}
			open = append(open, i)
		case '}', ']':
			if len(open) == 0 {
				return nil // the parser reports this well
			}
			at := open[len(open)-1]
			if s.data[at] != c-2 { // '{' and '}', '[' and ']' are two apart
				return &scanError{problem{offset: i, text: fmt.Sprintf("expected '%c' to close the '%c' of %v, found '%c'",
					s.data[at]+2, s.data[at], s.place(at), c)}, i, false}
			}
			open = open[:len(open)-1]
		}
		if values > s.values {
			return &scanError{problem{offset: i, text: fmt.Sprintf("exceeds the limit of %d keys and values", maxValues)}, i, true}
		}
	}
	if len(open) > 0 {
		at := open[len(open)-1]
		return &scanError{problem{offset: len(s.data), text: fmt.Sprintf("the file ends here, but the '%c' of %v is still open",
			s.data[at], s.place(at))}, len(s.data), false}
	}
	return nil
}

// commentEnd returns the length of the comment that text starts with, minus 1: 0 if it is not a comment, -1 if the comment
// never ends. The end of the file ends a line comment.
func commentEnd(text []byte) int {
	switch {
	case bytes.HasPrefix(text, []byte("//")):
		if end := bytes.IndexByte(text, '\n'); end >= 0 {
			return end
		}
		return len(text) - 1
	case bytes.HasPrefix(text, []byte("/*")):
		end := bytes.Index(text[2:], []byte("*/"))
		if end < 0 {
			return -1
		}
		return end + 3
	default:
		return 0
	}
}

// scanString returns the offset of the closing quote of the string that begins at start, or a problem in the string.
func scanString(data []byte, start int) (end int, wrong *problem) {
	for i := start + 1; i < len(data); i++ {
		switch c := data[i]; {
		case c == '"':
			return i, nil
		case c == '\n':
			return 0, &problem{offset: start, text: "this string has no closing quote on its line"}
		case c < ' ':
			return 0, &problem{offset: i, text: fmt.Sprintf(`a control character in a string is written \u%04x`, c)}
		case c == '\\':
			size := escapeSize(data[i:])
			if size == 0 {
				return 0, &problem{offset: i, text: `not an escape of JSON, which has \", \\, \/, \b, \f, \n, \r, \t and \u with four hexadecimal digits`}
			}
			if size < 0 {
				return 0, &problem{offset: i, text: `half of a surrogate pair is not a character`}
			}
			i += size - 1
		}
	}
	return 0, &problem{offset: start, text: "this string has no closing quote"}
}

// escapeSize returns the length of the escape that text starts with: 0 if it is invalid, -1 if it is half of a surrogate
// pair.
func escapeSize(text []byte) int {
	if len(text) < 2 || bytes.IndexByte([]byte(`"\/bfnrtu`), text[1]) < 0 {
		return 0
	}
	if text[1] != 'u' {
		return 2
	}
	first, ok := unicodeEscape(text)
	switch {
	case !ok:
		return 0
	case !utf16.IsSurrogate(first):
		return 6
	}
	second, ok := unicodeEscape(text[6:])
	if !ok || utf16.DecodeRune(first, second) == '\uFFFD' {
		return -1
	}
	return 12
}

func unicodeEscape(text []byte) (rune, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	r, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	return rune(r), err == nil
}
