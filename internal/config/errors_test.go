package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestErrorf(t *testing.T) {
	c, err := Parse("web.json", []byte(`{
  "apps": [
    {"PORTS": [1, "2-4", /* é */ "5-5",
      "127.0.0.1:6"], "targets": [{"address": "a:1"}]}
  ]
}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ path, want string }{
		{"", `web.json:1:1: full`},
		{"max_workers", `web.json:1:1: max_workers: full`},
		{"apps", `web.json:2:11: apps: full`},
		{"apps[0]", `web.json:3:5: apps[0]: full`},
		{"apps[0].ports[0]", `web.json:3:16: apps[0].ports[0]: full`},
		{"apps[0].ports[2]", `web.json:3:34: apps[0].ports[2]: full`},
		{"apps[0].ports[3]", `web.json:4:7: apps[0].ports[3]: full`},
		{"apps[0].ports[9]", `web.json:3:15: apps[0].ports[9]: full`},
		{"apps[0].ports[-1]", `web.json:3:15: apps[0].ports[-1]: full`},
		{"apps[0].targets[0].address", `web.json:4:47: apps[0].targets[0].address: full`},
		{"apps[0].targets[0].weight", `web.json:4:35: apps[0].targets[0].weight: full`},
		{"apps[0].keepalive.idle", `web.json:3:5: apps[0].keepalive.idle: full`},
		{"apps[7].name", `web.json:2:11: apps[7].name: full`},
		{"apps[", `web.json:2:11: apps[: full`},
		{"apps..[]x", `web.json:2:11: apps..[]x: full`},
	} {
		if got := c.Errorf(test.path, "%s", "full").Error(); got != test.want {
			t.Errorf("Errorf(%q):\ngot  %s\nwant %s", test.path, got, test.want)
		}
	}
	for port, want := range []string{"[0]", "[1]", "[1]", "[1]", "[2]", "[3]"} {
		if got := c.PortPath(0, port); got != "apps[0].ports"+want {
			t.Errorf("PortPath(0, %d) = %s, want apps[0].ports%s", port, got, want)
		}
	}
}

func TestErrorfByHand(t *testing.T) {
	c := &Config{Apps: []App{{Ports: make([]Port, 3)}}}
	path := c.PortPath(0, 2)
	if got, want := c.Errorf(path, "in use").Error(), "apps[0].ports[2]: in use"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestErrorsPrintNoMoreThanAHundred(t *testing.T) {
	_, err := Parse("f", []byte(appOf(`"targets": ["a:1"], "ports": [`+strings.Repeat("0,", 250)+`]`)))
	var errs Errors
	if !errors.As(err, &errs) || len(errs) != 250 {
		t.Fatalf("got %d errors, want 250", len(errs))
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 101 || lines[100] != "… and 150 more" {
		t.Errorf("%d lines, the last is %q", len(lines), lines[len(lines)-1])
	}
	var one Error
	if !errors.As(err, &one) || one != errs[0] {
		t.Errorf("errors.As gives %v, want %v", one, errs[0])
	}
	if !errors.Is(err, errs[249]) {
		t.Error("the last error is not found in the whole")
	}
}

// One line for an element that overlaps, however many ports it has.
func TestOverlapsAreBounded(t *testing.T) {
	_, err := Parse("f", []byte(`{"apps": [{"name": "a", "ports": ["1-32000"], "targets": ["a:1"]}, {"name": "b", "ports": ["1-32000"], "targets": ["a:1"]}]}`))
	want := "f:1:92: apps[1].ports[0]: 1-32000 is taken by 1-32000, apps[0].ports[0] at line 1, column 35"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestLoad(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none.json")
	for _, path := range []string{missing, t.TempDir()} {
		_, err := Load(path)
		var errs Errors
		if err == nil || errors.As(err, &errs) || !strings.Contains(err.Error(), path) {
			t.Errorf("Load(%s): %v", path, err)
		}
	}
	if _, err := Load(missing); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want that it does not exist", err)
	}
	bad := filepath.Join(t.TempDir(), "bad.json")
	if err := os.WriteFile(bad, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(bad); fmt.Sprint(err) != bad+`:1:1: has no "apps"` {
		t.Error(err)
	}
}

// Places are right everywhere in lines that are longer than the distance of two marks.
func TestPlaceInLongLines(t *testing.T) {
	text := []rune(strings.Repeat("é", 3000) + "\n" + strings.Repeat("a日\t", 2000) + "\nend")
	s := newSource("f", []byte(string(text)))
	line, column, offset := 1, 1, 0
	for _, r := range text {
		if got := s.place(offset); got != (place{offset, line, column}) {
			t.Fatalf("offset %d: got %v, want line %d, column %d", offset, got, line, column)
		}
		offset += len(string(r))
		column++
		if r == '\n' {
			line, column = line+1, 1
		}
	}
	if got := s.place(offset + 5); got != (place{offset, line, column}) {
		t.Errorf("beyond the end: %v", got)
	}
}
