package harness

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"testing"
	"time"
)

// A Result is the result of a command.
type Result struct {
	Code           int
	Stdout, Stderr string
}

// Run runs the binary until it exits. A command that does not exit by itself fails the test.
func Run(t testing.TB, arguments ...string) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	defer cancel()
	return RunCommand(t, exec.CommandContext(ctx, tested, arguments...))
}

// RunCommand runs any command that has been made with a context, and returns how it ended.
func RunCommand(t testing.TB, command *exec.Cmd) Result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	command.WaitDelay = time.Second
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("run %s: %v", command, err)
	}
	result := Result{command.ProcessState.ExitCode(), stdout.String(), stderr.String()}
	if result.Code < 0 {
		t.Fatalf("%s ended with %v\n%s%s", command, command.ProcessState, result.Stdout, result.Stderr)
	}
	return result
}

// Binary returns the path of the binary under test.
func Binary() string { return tested }
