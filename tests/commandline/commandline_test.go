// Package commandline holds the black-box tests of the command line: what the binary says to good and to bad input, and
// how it exits.
package commandline

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tcp-proxy/tests/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// The exit codes of the contract; 78 is EX_CONFIG of sysexits.h.
const (
	exitClean   = 0
	exitFailure = 1
	exitUsage   = 2
	exitConfig  = 78
)

// write puts a configuration into a file and returns its path.
func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// expect compares the exit code and wants every one of the texts on standard error.
func expect(t *testing.T, result harness.Result, code int, texts ...string) {
	t.Helper()
	if result.Code != code {
		t.Errorf("exit code %d, want %d", result.Code, code)
	}
	for _, text := range texts {
		if !strings.Contains(result.Stderr, text) {
			t.Errorf("standard error does not say %q", text)
		}
	}
	if strings.Contains(result.Stderr, "goroutine ") || strings.Contains(result.Stderr, `"ready`) {
		t.Error("it has not simply said so and ended")
	}
	if t.Failed() {
		t.Logf("standard output:\n%s\nstandard error:\n%s", result.Stdout, result.Stderr)
	}
}

// places finds FILE:LINE:COLUMN at the begin of lines.
func places(file, text string) []string {
	return regexp.MustCompile(`(?m)^.*?`+regexp.QuoteMeta(file)+`:[0-9]+:[0-9]+: .+$`).FindAllString(text, -1)
}
