package harness

import (
	"os/exec"
	"strings"
	"testing"
)

// Namespace skips the test unless this machine permits a namespace of the kind: an option of unshare(1), as "--net".
func Namespace(t testing.TB, kind string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "unshare", kind, "true").CombinedOutput(); err != nil {
		t.Skipf("SKIP: this machine permits no namespace (unshare %s): %v: %s", kind, err, strings.TrimSpace(string(out)))
	}
}
