package probe

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"tcp-proxy/internal/config"
)

var statusLine = regexp.MustCompile(`^HTTP/1\.\d (\d{3})[ \r\n]`)

// verdictOf is whether an answer is the wanted one, as far as it goes: by regular expressions on the whole of it.
func verdictOf(answer string, m *Config) (known, good bool) {
	if m.HTTP == (config.HTTPProbe{}) {
		return len(answer) >= len(m.Expect) || !strings.HasPrefix(m.Expect, answer), strings.HasPrefix(answer, m.Expect)
	}
	if found := statusLine.FindStringSubmatch(answer); found != nil {
		status, _ := strconv.Atoi(found[1])
		return true, m.HTTP.Low <= status && status <= m.HTTP.High
	}
	const form = "HTTP/1.1 200 "
	if n := len(answer); n < len(form) && statusLine.MatchString(answer+form[n:]) {
		return false, false // it may still become one
	}
	return true, false
}

// However an answer comes in, in whatever parts, it is the same answer; what is said of it is short and can be printed.
func FuzzAnswer(f *testing.F) {
	for _, answer := range []string{
		"", "H", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 204\r\n", "HTTP/1.1 503 x", "HTTP/1.1 2000 ", "HTTP/2 200 ", "http/1.1 200 ", "HTTP/1.1  200",
		"+PONG\r\n", "-ERR\r\n", "220 mail ready\r\n", "\x00\xff\x1b[31m", strings.Repeat("0123456789", 30),
	} {
		for _, want := range []string{"+PONG", "220 ", "0123456789", ""} {
			f.Add(answer, want, uint64(0x9e3779b97f4a7c15), 200, 399)
		}
	}
	f.Fuzz(func(t *testing.T, answer, want string, cuts uint64, low, high int) {
		m := Config{Probe: config.Probe{Expect: want}}
		if want == "" {
			if low == 0 && high == 0 {
				return // it expects nothing: no answer is read
			}
			m.HTTP = config.HTTPProbe{Path: "/", Low: low, High: high}
		}
		wantKnown, wantGood := verdictOf(answer, &m)
		parse := func(next func(left int) int) {
			c := &check{group: &group{config: m}}
			known, err := false, error(nil)
			rest := answer
			for rest != "" && !known {
				n := next(len(rest))
				known, err = c.parse([]byte(rest[:n]))
				rest = rest[n:]
			}
			if answer == "" {
				return
			}
			if known != wantKnown || known && (err == nil) != wantGood {
				t.Fatalf("%q, which is to be %+v: known %v (want %v), %v", answer, m.Probe, known, wantKnown, err)
			}
			for _, err := range []error{err, c.cutShort()} {
				if err != nil && (len(err.Error()) > 600 || strings.ContainsFunc(err.Error(), func(r rune) bool { return !unicode.IsPrint(r) })) {
					t.Fatalf("%q", err)
				}
			}
		}
		parse(func(left int) int { return left })
		parse(func(int) int { return 1 })
		bits := cuts
		parse(func(left int) int {
			bits = bits>>5 | bits<<59
			return min(left, 1+int(bits&31))
		})
	})
}
