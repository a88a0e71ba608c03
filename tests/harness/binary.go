package harness

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// Parallel is how many tests of a package run at a time, unless go test -parallel says otherwise. Tests wait for time-outs
// and other processes far more than they compute, so this is more than a small machine has processors. A package whose
// tests compute little sets a higher number before it calls Main.
var Parallel = 3

// tested is the path of the binary under test; Main sets it before any test runs.
var tested string

// Main runs the tests of a package against the binary: the one that TCP_PROXY_BINARY names, or one that is built for
// this run, with the race detector. It returns the exit code.
func Main(m *testing.M) int {
	if err := Prepare(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if tested = os.Getenv("TCP_PROXY_BINARY"); tested != "" {
		return m.Run()
	}
	folder, err := os.MkdirTemp("", "tcp-proxy-binary-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	// Some tests start the binary as other users.
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

// Prepare sets how the tests of a package run, unless the command line or the environment does: see Parallel. Main calls it.
func Prepare() error {
	// A process with the race detector sleeps for a second before it exits, for races that other threads are about to
	// report; each of the many short commands of the tests would. See https://go.dev/doc/articles/race_detector#Options.
	if _, set := os.LookupEnv("GORACE"); !set {
		if err := os.Setenv("GORACE", "atexit_sleep_ms=50"); err != nil {
			return err
		}
	}
	flag.Parse()
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == "test.parallel" })
	if set {
		return nil
	}
	return flag.Set("test.parallel", strconv.Itoa(Parallel))
}
