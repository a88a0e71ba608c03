package config

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// testFiles returns the configurations in a folder of testdata, by base name.
func testFiles(t testing.TB, folder string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", folder, "*.json"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files in testdata/%s: %v", folder, err)
	}
	files := make(map[string][]byte)
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimSuffix(filepath.Base(path), ".json")] = data
	}
	return files
}

// Every file of testdata/invalid breaks one rule; its golden file has the messages.
func TestInvalid(t *testing.T) {
	for name, data := range testFiles(t, "invalid") {
		t.Run(name, func(t *testing.T) {
			c, err := Parse(name+".json", data)
			var errs Errors
			if !errors.As(err, &errs) || c != nil {
				t.Fatalf("got %v, %v, want nil and Errors", c, err)
			}
			got := errs.Error() + "\n"
			golden := filepath.Join("testdata", "invalid", name+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// appOf returns a configuration of one app with the given keys.
func appOf(keys string) string {
	return `{"apps": [{` + keys + `}]}`
}

func TestInvalidBytes(t *testing.T) {
	apps := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `{"ports": [%d], "targets": ["a:1"]},`, i+1)
		}
		return `{"apps": [` + b.String() + `]}`
	}
	targets := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"a:%d",`, i+1)
		}
		return appOf(`"ports": [1], "targets": [` + b.String() + `]`)
	}
	networks := func(n int) string {
		return appOf(`"ports": [1], "deny": [` + strings.Repeat(`"10.0.0.1",`, n) + `], "targets": ["a:1"]`)
	}
	sends := func(n int) string {
		return appOf(`"ports": [1], "probe": {"send": "` + strings.Repeat(`\\xff`, n) + `"}, "targets": ["a:1"]`)
	}
	for _, test := range []struct{ name, data, want string }{
		{"not UTF-8", "{\n  \"a\": \"\xff\"}", `f:2:9: byte 0xff is not UTF-8 text`},
		{"UTF-16", "\xff\xfe{\x00}\x00", `f:1:1: this is UTF-16: a configuration is UTF-8: save the file as UTF-8`},
		{"cut off in a character", "// \xe6\x97", `f:1:4: byte 0xe6 is not UTF-8 text`},
		{"NUL", "{\"a\": \x00}", `f:1:7: expected a value, found '\x00'`},
		{"line separator in a comment", "// \u2028\n{}", `f:1:4: invalid character '\u2028' in line comment`},
		{"BOM alone", "\uFEFF", `f:1:1: the file has no configuration: a small one is {"apps": [{"ports": [5001], "targets": ["10.0.0.1:80"]}]}`},
		{"BOM is no column", "\uFEFF{}", `f:1:1: has no "apps"`},
		{"second BOM", "\uFEFF\uFEFF{}", `f:1:1: this is an invisible character (U+FEFF): delete it, or write an ordinary space`},
		{"slash", "/", `f:1:1: this is not JSON: a configuration begins with {, and this file with '/'`},
		{"open at the end without a newline", `{"a": [1`, `f:1:9: the file ends here, but the '[' of line 1, column 7 is still open`},
		{"open in a comment", "{\n// x", `f:2:5: the file ends here, but the '{' of line 1, column 1 is still open`},
		{"string at the end", `{"a`, `f:1:2: this string has no closing quote`},
		{"deep", strings.Repeat("[", 1<<20), `f:1:65: nested more than 64 levels deep`},
		{"deep in objects", strings.Repeat(`{"a":`, 1<<20), `f:1:321: nested more than 64 levels deep`},
		{"apps", apps(1001), `f:1:10: apps: has 1001 apps: the limit is 1000`},
		{"targets", targets(10001), `f:1:37: apps[0].targets: has 10001 targets: the limit is 10000`},
		{"networks", networks(10001), `f:1:34: apps[0].deny: has 10001 networks: the limit is 10000`},
		{"bytes", sends(4097), `f:1:44: apps[0].probe.send: has 4097 bytes: the limit is 4096`},
		{"unknown key of any length", `{"apps": [{"ports": [1], "targets": ["a:1"]}], "` + strings.Repeat("x", 1000) + `": 1}`,
			`f:1:48: unknown key "` + strings.Repeat("x", 79) + `…"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse("f", []byte(test.data))
			if err == nil || err.Error() != test.want {
				t.Errorf("got:\n%v\nwant:\n%s", err, test.want)
			}
		})
	}
	for name, data := range map[string]string{
		"1000 apps":      apps(1000),
		"10000 targets":  targets(10000),
		"10000 networks": networks(10000),
		"4096 bytes":     sends(4096),
		"BOM":            "\uFEFF" + appOf(`"ports": [1], "targets": ["a:1"]`),
		"65535 sockets":  appOf(`"ports": ["1-65535"], "targets": ["a:1"]`),
		"CRLF":           "{\r\n// x\r\n\"apps\": [{\"ports\": [1],\r\n\"targets\": [\"a:1\"]}]}\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse("f", []byte(data)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestParseKeepsNothingOfItsInput(t *testing.T) {
	data := []byte(appOf(`"name": "web", "ports": ["unix:/run/web"], "targets": ["host:1"]`))
	c, err := Parse("f", data)
	if err != nil {
		t.Fatal(err)
	}
	copy(data, bytes.Repeat([]byte("\n"), len(data)))
	if got := c.Apps[0]; got.Name != "web" || got.Ports[0].Path != "/run/web" || got.Targets[0].Address.Host != "host" {
		t.Errorf("changed with the input: %+v", got)
	}
	if got, want := c.Errorf("apps[0].name", "x").Error(), "f:1:20: apps[0].name: x"; got != want {
		t.Errorf("place changed with the input: %s, was %s", got, want)
	}
}
