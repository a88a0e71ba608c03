package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// tested is the path of the binary under test; Main sets it before any test runs.
var tested string

// Main runs the tests of a package against the binary: the one that TCP_PROXY_BINARY names, or one that is built for
// this run, with the race detector. It returns the exit code.
func Main(m *testing.M) int {
	if tested = os.Getenv("TCP_PROXY_BINARY"); tested != "" {
		return m.Run()
	}
	folder, err := os.MkdirTemp("", "tcp-proxy-binary-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	// Tests start the binary as other users, too.
	if err := os.Chmod(folder, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	tested = filepath.Join(folder, "tcp-proxy")
	build := exec.Command("go", "build", "-race", "-o", tested, "tcp-proxy/cmd/tcp-proxy")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintf(os.Stderr, "build the binary under test: %v\n", err)
		return 1
	}
	return m.Run()
}
