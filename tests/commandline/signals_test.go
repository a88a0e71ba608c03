package commandline

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tcp-proxy/tests/harness"
)

// A signal comes while the program still reads its configuration. SIGHUP does not end the proxy; SIGTERM and SIGINT end it with
// success. Commands other than run end as programs do that know nothing of signals.
func TestSignalsWhileStarting(t *testing.T) {
	file := write(t, long(harness.New(t, "loop")))
	version := exec.CommandContext(t.Context(), harness.Binary(), "version")
	if err := version.Run(); err != nil {
		t.Fatal(err)
	}
	// What a program takes that has come to main and beyond. To read the configuration takes far more.
	started := 2*(version.ProcessState.UserTime()+version.ProcessState.SystemTime()) + 20*time.Millisecond
	for _, test := range []struct {
		signal    syscall.Signal
		arguments []string
		end       string // of the process; "" if it serves, and ends well with a SIGTERM after that
	}{
		{syscall.SIGHUP, []string{"run"}, ""},
		{syscall.SIGHUP, nil, ""},
		{syscall.SIGTERM, []string{"run"}, "<nil>"},
		{syscall.SIGINT, nil, "<nil>"},
		{syscall.SIGINT, []string{"check"}, "signal: interrupt"},
		{syscall.SIGTERM, []string{"check"}, "signal: terminated"},
	} {
		t.Run(fmt.Sprint(test.signal, test.arguments), func(t *testing.T) {
			printed, err := os.Create(filepath.Join(t.TempDir(), "printed"))
			if err != nil {
				t.Fatal(err)
			}
			defer printed.Close()
			text := func() string {
				text, err := os.ReadFile(printed.Name())
				if err != nil {
					t.Fatal(err)
				}
				return string(text)
			}
			cmd := exec.CommandContext(t.Context(), harness.Binary(), append(test.arguments, "--config-file", file)...)
			cmd.Stdout, cmd.Stderr = printed, printed
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			harness.Eventually(t, "the program reads its configuration", func() bool { return harness.CPU(t, cmd.Process.Pid) >= started })
			cmd.Process.Signal(test.signal)
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			if test.end == "" {
				harness.Eventually(t, "the proxy serves, or has ended", func() bool { return strings.Contains(text(), "ready: ") || len(ended) > 0 })
				cmd.Process.Signal(syscall.SIGTERM)
				test.end = "<nil>"
			}
			if end := fmt.Sprint(<-ended); end != test.end {
				t.Errorf("the process ends with %s, and has printed\n%s", end, text())
			}
		})
	}
}

// long gives a configuration of a few megabytes.
func long(r *harness.Rig) string {
	var text strings.Builder
	for app := range 4 {
		fmt.Fprintf(&text, `%c{"ports": [%q], "targets": ["127.0.0.1:1"`, "[,"[min(app, 1)], r.Address())
		for port := 2; port <= 10_000; port++ {
			fmt.Fprintf(&text, `,"127.0.0.1:%d"`, port)
		}
		text.WriteString("]}")
	}
	return `{"apps": ` + text.String() + "]}"
}
