// Package traffic holds the tests with real clients and real servers: each talks through the proxy for a few seconds,
// and what arrives is checked. tests/deps.sh installs what they need.
package traffic

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"testing"

	"tcp-proxy/tests/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// program finds an executable, also where Debian keeps those of the administrator. Without it the test is skipped.
func program(t *testing.T, name string) string {
	t.Helper()
	for _, candidate := range []string{name, "/usr/sbin/" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	t.Skipf("SKIP: %s is not installed: run `make deps`", name)
	return ""
}

// run runs a program to its end, wants it to succeed, and returns its standard output.
func run(t *testing.T, name string, arguments ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), harness.Timeout)
	defer cancel()
	return succeed(t, exec.CommandContext(ctx, program(t, name), arguments...))
}

func succeed(t *testing.T, command *exec.Cmd) string {
	t.Helper()
	result := harness.RunCommand(t, command)
	if result.Code != 0 {
		t.Fatalf("%s: exit code %d\n%s%s", command, result.Code, result.Stdout, result.Stderr)
	}
	return result.Stdout
}

// through starts a proxy with one app before a server.
func through(r *harness.Rig, server string) *harness.Proxy {
	r.T.Helper()
	return r.Start(harness.Config{MaxWorkers: 200, Apps: []harness.App{{Targets: []any{server}}}})
}

// checkRecords wants at least n sessions, and every one of them ended by its client or its server.
func checkRecords(t *testing.T, p *harness.Proxy, n int) []harness.Record {
	t.Helper()
	records := p.Records(n)
	for _, record := range records {
		if !slices.Contains([]string{"client_closed", "target_closed", "client_reset", "target_reset"}, record.Cause) {
			t.Errorf("record %+v", record)
		}
	}
	return records
}
