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

// Of a file with many errors the first hundred by place are reported, and the number of the others.
func TestNoMoreThanAHundredErrors(t *testing.T) {
	for ports, last := range map[int]string{99: `f:1:251: apps[0].name: "-" is not a name`, 100: "f: and 1 more error", 350: "f: and 251 more errors"} {
		_, err := Parse("f", []byte(appOf(`"targets": ["a:1"], "ports": [`+strings.Repeat("0,", ports)+`], "name": "-"`)))
		var errs Errors
		if !errors.As(err, &errs) || len(errs) != min(ports+1, 101) {
			t.Fatalf("got %d errors of %d", len(errs), ports+1)
		}
		told := min(ports, 100) // of the ports
		for i, e := range errs[:told] {
			if want := fmt.Sprintf("apps[0].ports[%d]", i); e.Path != want {
				t.Errorf("error %d is at %s, want %s", i, e.Path, want)
			}
		}
		lines := strings.Split(err.Error(), "\n")
		if len(lines) != len(errs) || !strings.HasPrefix(lines[told], last) {
			t.Errorf("%d lines, the last is %q", len(lines), lines[len(lines)-1])
		}
		var one Error
		if !errors.As(err, &one) || one != errs[0] || !errors.Is(err, errs[len(errs)-1]) {
			t.Errorf("errors.As gives %v, want %v", one, errs[0])
		}
		brief := fmt.Sprintf("%v (and %d more errors)", errs[0], ports)
		if Brief(err) != brief {
			t.Errorf("in brief: %s, want %s", Brief(err), brief)
		}
	}
	if got := Brief(Errors{{File: "f", Text: "bad"}}); got != "f: bad" {
		t.Errorf("one error in brief: %s", got)
	}
	if got := Brief(errors.Join(errors.New("one"), errors.New(strings.Repeat("x", 5000)))); !strings.HasPrefix(got, "one xxx") || len(got) > maxText+50 {
		t.Errorf("other errors in brief: %s", got)
	}
}

// FirstLines returns at most ten lines and one more, of bounded length.
func TestFirstLines(t *testing.T) {
	lines := func(n, length int) string { return strings.Repeat("\n"+strings.Repeat("x", length), n)[1:] }
	for _, test := range []struct {
		err  error
		want string
	}{
		{errors.New("one\x1b"), `one\x1b`},
		{errors.New(lines(MaxLines, 3)), lines(MaxLines, 3)},
		{errors.New(lines(MaxLines+1, 3)), lines(MaxLines, 3) + "\nand 1 more error"},
		{errors.New(lines(1, 5000)), lines(1, maxText) + "… (5000 bytes)"},
	} {
		if got := FirstLines(test.err); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
	for ports, beside := range map[int]string{9: "", 10: "\nand 1 more error", 350: "\nand 341 more errors"} {
		_, err := Parse("f", []byte(appOf(`"targets": ["a:1"], "ports": [`+strings.Repeat("0,", ports)+`], "name": "-"`)))
		first := strings.Join(strings.Split(err.Error(), "\n")[:MaxLines], "\n")
		if got := FirstLines(err); got != first+beside {
			t.Errorf("of %d errors:\n%s", ports+1, got)
		}
	}
}

// The name of the file, and parts of its content, are one printable line in an error.
func TestErrorsArePrintable(t *testing.T) {
	_, err := Parse("f\n\x1b[2J", []byte(appOf(`"name": "a", "ports": ["unix:/run/\u202eweb", "unix:/run/\u202eweb"], "targets": ["a:1"]`)))
	if want := `f\n\x1b[2J:1:58: apps[0].ports[1]: unix:/run/\u202eweb is taken by unix:/run/\u202eweb, apps[0].ports[0] at line 1, column 35`; err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
	if got := (&Config{}).Errorf("a", "%s", "x\ny"+strings.Repeat("z", 5000)).Error(); len(got) > maxText+100 || strings.Contains(got, "\n") {
		t.Errorf("%d bytes: %.100q", len(got), got)
	}
}

// An element that overlaps is one error, however many ports it has.
func TestOverlapsAreBounded(t *testing.T) {
	_, err := Parse("f", []byte(`{"apps": [{"name": "a", "ports": ["1-32000"], "targets": ["a:1"]}, {"name": "b", "ports": ["1-32000"], "targets": ["a:1"]}]}`))
	want := "f:1:92: apps[1].ports[0]: 1-32000 is taken by 1-32000 of app \"a\", apps[0].ports[0] at line 1, column 35"
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
	if err := os.Truncate(bad, MaxSize+1); err != nil {
		t.Fatal(err)
	}
	for path, why := range map[string]string{bad: "is larger than 16 MiB", "/dev/full": "is a device, not a regular file"} {
		var one Error
		if _, err := Load(path); !errors.As(err, &one) || fmt.Sprint(err) != path+": "+why+": a configuration is a regular file of at most 16 MiB" {
			t.Error(err)
		}
	}
}

// Columns are correct in lines that are longer than markInterval.
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
