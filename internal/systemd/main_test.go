package systemd

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// roles are functions that a test runs in another process: the test binary, with the name of the role in the environment.
var roles = map[string]func(){}

const roleVariable = "TCP_PROXY_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		roles[role]()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// play runs a role in a process of its own, with descriptors from 3 on, and returns what it prints. The variables
// are for a shell: $$ is the process ID.
func play(t *testing.T, role string, files []*os.File, environment ...string) string {
	t.Helper()
	var script strings.Builder
	for _, variable := range environment {
		script.WriteString("export " + variable + "; ")
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script.String()+`exec "$0"`, os.Args[0])
	// The run of the tests may have a service manager itself.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(handedOver, name)
	})
	cmd.Env = append(cmd.Env, roleVariable+"="+role, "GORACE=atexit_sleep_ms=0")
	cmd.ExtraFiles = files
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("role %s: %v", role, err)
	}
	return string(out)
}

var handedOver = []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
	"SYSTEMD_EXEC_PID"}
