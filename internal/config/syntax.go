package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tailscale/hujson"
)

// parseSyntax parses the text of s into s.root, or returns the first syntax error.
func (s *source) parseSyntax() *problem {
	if other := otherFormat(s.data); other != "" {
		return &problem{text: other}
	}
	if bad := invalidUTF8(s.data); bad >= 0 {
		return &problem{offset: bad, text: fmt.Sprintf("byte 0x%02x is not UTF-8 text", s.data[bad])}
	}
	lexical := s.scan()
	root, err := hujson.Parse(s.parserInput(lexical))
	if err != nil {
		offset, cause := s.parserError(err)
		if lexical != nil && lexical.from <= offset {
			return &lexical.problem
		}
		if lexical == nil && errors.Is(err, io.ErrUnexpectedEOF) {
			return &problem{offset: offset, text: `the file has no configuration: a small one is {"apps": [{"ports": [5001], "targets": ["10.0.0.1:80"]}]}`}
		}
		return &problem{offset: offset, text: s.explain(offset, cause)}
	}
	if lexical != nil {
		return &lexical.problem // the parser accepts it
	}
	s.root = root
	return nil
}

// parserInput returns the text for the parser, with a newline at the end, which it requires after a line comment.
func (s *source) parserInput(l *scanError) []byte {
	if l == nil || !l.fatal {
		return s.padded
	}
	return s.data[:l.offset:l.offset]
}

// invalidUTF8 returns the offset of the first byte that is not UTF-8, or -1.
func invalidUTF8(data []byte) int {
	if utf8.Valid(data) {
		return -1
	}
	i := 0
	for {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size <= 1 {
			return i
		}
		i += size
	}
}

var parserErrorForm = regexp.MustCompile(`(?s)line (\d+), column (\d+): (.*)$`)

// parserError extracts the offset and the text from an error of the parser.
func (s *source) parserError(err error) (offset int, cause string) {
	text := err.Error() // may end with the whole source
	parts := parserErrorForm.FindStringSubmatch(text[:min(len(text), maxText)])
	if parts == nil {
		return 0, err.Error()
	}
	line, _ := strconv.Atoi(parts[1])
	column, _ := strconv.Atoi(parts[2])
	for ; line > 1; line-- {
		end := bytes.IndexByte(s.data[offset:], '\n')
		if end < 0 {
			return len(s.data), parts[3] // after the newline that was appended
		}
		offset += end + 1
	}
	return min(offset+column-1, len(s.data)), parts[3]
}

// word returns the letters, digits and signs that a text starts with.
func word(text []byte) []byte {
	end := bytes.IndexFunc(text, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9') && !strings.ContainsRune("-+._", r)
	})
	if end < 0 {
		return text
	}
	return text[:end]
}

// explain describes for an operator what the parser found at offset.
func (s *source) explain(offset int, cause string) string {
	rest := s.data[offset:]
	found := "the end of the file"
	if len(rest) > 0 {
		r, _ := utf8.DecodeRune(rest)
		if odd := characterHint(r); odd != "" {
			return odd
		}
		found = strconv.QuoteRune(r)
		if w := word(rest); len(w) > 0 {
			found = quote(string(w))
		} else if r == '"' {
			found = "a string"
		}
	}
	switch {
	case strings.HasSuffix(cause, "in line comment"):
		return cause
	case s.atStart(offset) && !isObject(rest):
		return "this is not JSON: a configuration begins with {, and this file with " + found
	case tableHeader.Match(s.data):
		return "this is not JSON: a configuration begins with {, and this file with '['"
	case found == "'#'":
		return "a comment starts with // or /*, not with #"
	case strings.HasPrefix(cause, "invalid literal"):
		after := bytes.TrimLeft(rest[len(word(rest)):], " \t\r\n")
		switch {
		case bytes.HasPrefix(after, []byte(":")):
			return fmt.Sprintf("%s needs double quotes, as every key does", strings.Trim(found, `"`))
		case strings.ContainsRune("+-.0123456789", rune(rest[0])):
			return fmt.Sprintf("%s is not a JSON number", strings.Trim(found, `"`))
		default:
			return fmt.Sprintf("%s is not a value: a string needs double quotes, and the words are true, false and null", strings.Trim(found, `"`))
		}
	case strings.Contains(cause, "after top-level value"):
		return "expected the end of the file after the configuration, found " + found
	case strings.Contains(cause, "at start of object name"):
		return "expected a key in double quotes, found " + found
	case strings.Contains(cause, "after object name"):
		return "expected ':' after the key, found " + found
	case strings.Contains(cause, "after object value"):
		return "expected ',' or '}', found " + found
	case strings.Contains(cause, "after array value"):
		return "expected ',' or ']', found " + found
	case strings.HasSuffix(cause, "at start of value") && found == `'\''`:
		return "a string needs double quotes, not single ones"
	case strings.HasSuffix(cause, "at start of value"):
		return "expected a value, found " + found
	default:
		return cause
	}
}

// quote quotes s, shortened if it is long.
func quote(s string) string {
	const longest = 80
	characters, end := 0, 0
	for i := range s {
		switch characters++; characters {
		case longest:
			end = i
		case longest + 1:
			return strconv.Quote(s[:end] + "…")
		}
	}
	return strconv.Quote(s)
}
