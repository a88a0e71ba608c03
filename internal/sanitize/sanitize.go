// Package sanitize makes text from outside safe to show in a log line, an event, an error or a terminal.
package sanitize

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limit is the usual limit of Text, in bytes.
const Limit = 256

// Text returns s as one line of printable characters: control characters (such as line breaks and terminal escapes),
// characters that change the direction or have no width, and bytes that are not UTF-8 are escaped as in a Go string
// literal, \n or \x1b. A text longer than limit bytes is cut, and the end of the result has the original length. A text
// that is already safe is returned unchanged.
func Text(s string, limit int) string {
	kept := cut(s, limit)
	if kept == s && fit(s) {
		return s
	}
	var b strings.Builder
	for rest := kept; rest != ""; {
		r, size := utf8.DecodeRuneInString(rest)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, rest[0])
		case shown(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		rest = rest[size:]
	}
	if kept != s {
		fmt.Fprintf(&b, "… (%d bytes)", len(s))
	}
	return b.String()
}

// Lines applies Text to each line of s; use it only for text whose line breaks are not from outside.
func Lines(s string, limit int) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = Text(line, limit)
	}
	return strings.Join(lines, "\n")
}

// Error returns an error with the text of err made safe by Text; nil for nil. It wraps err.
func Error(err error, limit int) error {
	if err == nil {
		return nil
	}
	was := err.Error()
	text := Text(was, limit)
	if text == was {
		return err
	}
	return &sanitized{text, err}
}

type sanitized struct {
	text string
	err  error
}

func (s *sanitized) Error() string { return s.text }

func (s *sanitized) Unwrap() error { return s.err }

// cut returns at most limit bytes of s, without splitting a character.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	end := limit
	for end > 0 && end > limit-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

func fit(s string) bool {
	for _, r := range s {
		if r == utf8.RuneError || !shown(r) {
			return false
		}
	}
	return true
}

// shown reports whether a character is written unchanged.
func shown(r rune) bool { return unicode.IsPrint(r) }
