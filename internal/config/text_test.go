package config

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The text is that of the file, with its comments; only what a probe sends, and the query of its path, is left out.
func TestTextIsRedacted(t *testing.T) {
	const text = `// A comment, and "send": "what it says".
{
  "defaults": {"probe": {"Send": "AUTH \u0073ecret\r\n", /* "AUTH" */ "expect": "+OK"}},
  "apps": [
    {"name": "send", "ports": [5001], "targets": ["10.0.0.1:80"]},
    {"name": "redis", "ports": [5002], "targets": ["10.0.0.1:81"], "probe": {"s\u0065nd": "hello secret", "expect": "+OK"}},
    {"name": "empty", "ports": [5003], "targets": ["10.0.0.1:82"], "probe": {"send": "", "expect": "+OK"}},
    {"name": "web", "ports": [5004], "targets": ["10.0.0.1:83"], "probe": {"http": {"path": "/ready\u003ftoken=secret"}}},
    {"name": "bare", "ports": [5005], "targets": ["10.0.0.1:84"], "probe": {"http": {"path": "/ready"}}},
  ],
}
`
	c, err := Parse("f.json", []byte("\uFEFF"+text))
	if err != nil {
		t.Fatal(err)
	}
	want := strings.NewReplacer(
		`"AUTH \u0073ecret\r\n"`, `"[redacted]"`, `"hello secret"`, `"[redacted]"`, `"/ready\u003ftoken=secret"`, `"/ready?[redacted]"`,
	).Replace(text)
	if got := c.Text(); !slices.Equal(got, []File{{"f.json", want}}) {
		t.Errorf("the text is\n%s", got)
	}
	byHand := Default()
	if got := byHand.Text(); got != nil {
		t.Errorf("a configuration without a file has the text %v", got)
	}
}

// The text of a directory is that of each of its files.
func TestTextOfADirectory(t *testing.T) {
	directory := t.TempDir()
	var want []File
	for i, name := range []string{"a.json", "b.json"} {
		path := filepath.Join(directory, name)
		text := fmt.Sprintf(`{"apps": [{"ports": [%d], "targets": ["10.0.0.1:80"], "probe": {"send": "s", "expect": "+"}}]} // %s`, 5001+i, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		want = append(want, File{path, strings.Replace(text, `"s"`, `"[redacted]"`, 1)})
	}
	c, err := Load(directory)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Text(); !slices.Equal(got, want) {
		t.Errorf("the text is\n%s, want\n%s", got, want)
	}
	if c.Sum() != Sum(directory) {
		t.Error("the directory differs from what was read")
	}
	if err := os.WriteFile(filepath.Join(directory, "c.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c.Sum() == Sum(directory) {
		t.Error("a directory with one more file does not differ")
	}
}

// A key that takes any text may hold a secret. Whoever adds one decides here whether it is redacted.
func TestKeysWithAnyText(t *testing.T) {
	redacted := []string{"apps[].probe.send", "apps[].probe.http.path"}
	shown := []string{"apps[].name", "apps[].probe.expect", "apps[].probe.http.status"}
	words := regexp.MustCompile(`^("[^"]*"(, | or )?)+$`)
	var got []string
	for _, k := range Keys() {
		if k.Type == "string" && !strings.HasPrefix(k.Path, "defaults.") && !words.MatchString(k.Range) {
			got = append(got, k.Path)
		}
	}
	want := append(redacted, shown...)
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the keys that take any text are %q, want %q", got, want)
	}
}

func TestSumFollowsTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const text = `{"apps": [{"ports": [5001], "targets": ["10.0.0.1:80"]}]}`
	write("\uFEFF" + text)
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if c.Sum() != Sum(path) {
		t.Error("the file differs from what was read")
	}
	write(text + "\n")
	if c.Sum() == Sum(path) {
		t.Error("a file that has changed does not differ")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if c.Sum() == Sum(path) {
		t.Error("a file that is gone does not differ")
	}
}

func TestOverridesAreKnown(t *testing.T) {
	c := Default()
	if err := c.Override("max_workers", "7"); err != nil {
		t.Fatal(err)
	}
	if c.Override("engine", "warp") == nil {
		t.Fatal("there is no such engine")
	}
	if got, want := c.Overrides(), []Overridden{{"max_workers", "7"}}; !slices.Equal(got, want) {
		t.Errorf("overrides %v, want %v", got, want)
	}
}
