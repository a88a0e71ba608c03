package admin

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"tcp-proxy/internal/admin"
	"tcp-proxy/tests/harness"
)

// The active configuration is shown, with its comments, also after its file has changed or was refused; what the command line
// overrides is named, and what a probe sends is not shown.
func TestConfigCommand(t *testing.T) {
	r := harness.New(t, "loop")
	s := see(r, harness.Config{Reload: "auto", Apps: []harness.App{
		{Name: "web", Targets: harness.To(r.Identify("here")), Probe: &harness.Probe{When: "never", Send: "AUTH hunter2"}},
	}}, "--max-workers", "40")
	file := r.Path("config.json")
	original, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	show := func() harness.Result {
		t.Helper()
		result := harness.Run(t, "config", "--socket", s.socket)
		if result.Code != 0 || strings.Contains(result.Stdout+result.Stderr, "hunter2") {
			t.Fatalf("%+v", result)
		}
		return result
	}
	raw := func() (c admin.Config) {
		t.Helper()
		result := harness.Run(t, "config", "--json", "--socket", s.socket)
		if err := json.Unmarshal([]byte(result.Stdout), &c); err != nil || result.Stderr != "" {
			t.Fatalf("%+v: %v", result, err)
		}
		return c
	}
	shown := strings.Replace(string(original), "AUTH hunter2", "[redacted]", 1)
	if got := show(); !strings.HasPrefix(got.Stdout, "// "+file+", active since ") || !strings.HasSuffix(got.Stdout, "\n"+strings.TrimSuffix(shown, "\n")+"\n") ||
		!strings.Contains(got.Stdout, "\n// The command line overrides max_workers: 40\n") || got.Stderr != "" {
		t.Errorf("at first: %+v", got)
	}
	if got := raw(); got.File != file || got.OnDisk != admin.OnDiskSame || len(got.Files) != 1 || got.Files[0] != (admin.ConfigFile{File: file, Text: shown}) {
		t.Errorf("as JSON: %+v", got)
	}
	// It is still a configuration.
	copied := write(t, json.RawMessage("{}"))
	if err := os.WriteFile(copied, []byte(show().Stdout), 0o644); err != nil {
		t.Fatal(err)
	}
	if result := harness.Run(t, "check", "--quiet", "--config-file", copied); result.Code != 0 {
		t.Errorf("what is shown is no configuration: %+v", result)
	}

	// A comment changes nothing, but the text is the new one.
	original = append([]byte("// Ask Carol before you change this.\n"), original...)
	shown = "// Ask Carol before you change this.\n" + shown
	s.change(string(original))
	harness.Eventually(t, "the new text is active", func() bool {
		got := raw()
		return got.OnDisk == admin.OnDiskSame && got.Files[0].Text == shown
	})
	// A file with an error is not what runs.
	s.change(string(original) + "?")
	harness.Eventually(t, "the file on the disk is another one", func() bool { return raw().OnDisk == admin.OnDiskChanged })
	if got := show(); !strings.Contains(got.Stdout, "\n"+shown) || !strings.Contains(got.Stderr, file+" differs from the active configuration above") {
		t.Errorf("with an error in the file: %+v", got)
	}
}
