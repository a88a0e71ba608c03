package harness

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// Namespace skips the test unless this machine permits a namespace of the kind: an option of unshare(1), as "--net".
func Namespace(t testing.TB, kind string) {
	t.Helper()
	if err := TryNamespace(kind); err != nil {
		t.Skip("SKIP:", err)
	}
}

// TryNamespace returns why this machine does not permit a namespace of the kind, or nil.
func TryNamespace(kind string) error {
	if out, err := exec.Command("unshare", kind, "true").CombinedOutput(); err != nil {
		return fmt.Errorf("this machine permits no namespace (unshare %s): %w: %s", kind, err, strings.TrimSpace(string(out)))
	}
	return nil
}
