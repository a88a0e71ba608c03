package systemd

import (
	"os"
	"strconv"
	"testing"
)

// The runtime directory is the first of the list, and only that of the process that systemd has started.
func TestRuntimeDirectory(t *testing.T) {
	own := strconv.Itoa(os.Getpid())
	for _, c := range []struct{ variable, pid, want string }{
		{"", own, ""},
		{"/run/tcp-proxy", own, "/run/tcp-proxy"},
		{"/run/tcp-proxy", "", "/run/tcp-proxy"},
		{"/run/tcp-proxy:/run/other", own, "/run/tcp-proxy"},
		{"/run/tcp-proxy", "1", ""},
	} {
		t.Setenv("RUNTIME_DIRECTORY", c.variable)
		t.Setenv("SYSTEMD_EXEC_PID", c.pid)
		if got := RuntimeDirectory(); got != c.want {
			t.Errorf("RUNTIME_DIRECTORY=%s SYSTEMD_EXEC_PID=%s: %q, want %q", c.variable, c.pid, got, c.want)
		}
	}
}
