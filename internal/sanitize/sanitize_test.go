package sanitize

import (
	"errors"
	"io"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	for _, c := range []struct {
		name, in, want string
	}{
		{"empty", "", ""},
		{"plain", "nginx, PID 812", "nginx, PID 812"},
		{"letters of all scripts", "Grüße, мир, 世界", "Grüße, мир, 世界"},
		{"quotes and backslashes stay", `a "b" \c`, `a "b" \c`},
		{"line breaks", "a\nb\r\nc\td", `a\nb\r\nc\td`},
		{"terminal escape", "\x1b[2J\x1b]0;title\x07", `\x1b[2J\x1b]0;title\a`},
		{"C1 control", "\u009b31m", `\u009b31m`},
		{"direction override", "abc\u202etxt", `abc\u202etxt`},
		{"no width", "a\u200bb\ufeff", `a\u200bb\ufeff`},
		{"line separator", "a\u2028b", `a\u2028b`},
		{"no-break space", "a\u00a0b", `a\u00a0b`},
		{"not UTF-8", "a\xff\xc3", `a\xff\xc3`},
		{"the replacement character itself", "a\ufffdb", "a\ufffdb"},
		{"as long as it may be", strings.Repeat("x", 40), strings.Repeat("x", 40)},
		{"too long", strings.Repeat("x", 41), strings.Repeat("x", 40) + "… (41 bytes)"},
		{"no part of a character", strings.Repeat("x", 39) + "世", strings.Repeat("x", 39) + "… (42 bytes)"},
	} {
		if got := Text(c.in, 40); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestErrorWraps(t *testing.T) {
	if Error(nil, 10) != nil {
		t.Error("an error out of none")
	}
	if err := Error(io.EOF, 10); err != io.EOF {
		t.Errorf("%v is not what it was", err)
	}
	bad := errors.Join(io.EOF, io.ErrClosedPipe)
	err := Error(bad, 100)
	if !errors.Is(err, io.ErrClosedPipe) || err.Error() != `EOF\nio: read/write on closed pipe` {
		t.Errorf("%q", err)
	}
}

// FuzzText: whatever comes in, one bounded line of printable characters comes out, and the same again.
func FuzzText(f *testing.F) {
	f.Add("plain", 5)
	f.Add("\x1b[31m\u202e\xff\n", 3)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		if limit < 0 || limit > 1<<16 {
			return
		}
		got := Text(s, limit)
		if !utf8.ValidString(got) {
			t.Fatalf("%q is not UTF-8", got)
		}
		for _, r := range got {
			if !unicode.IsPrint(r) {
				t.Fatalf("%q has %U", got, r)
			}
		}
		if most := 10*limit + 40; len(got) > most { // \U0010ffff is what a byte or more becomes at most
			t.Fatalf("%d bytes out of %d, limit %d", len(got), len(s), limit)
		}
		if again := Text(got, len(got)); again != got {
			t.Fatalf("%q became %q", got, again)
		}
	})
}

func TestLines(t *testing.T) {
	if got, want := Lines("one\n\x1b[2Jtwo\r\n"+strings.Repeat("a", 20), 10), "one\n\\x1b[2Jtwo\\r\naaaaaaaaaa… (20 bytes)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
