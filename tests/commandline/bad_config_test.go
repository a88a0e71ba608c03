package commandline

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"tcp-proxy/tests/harness"
)

// both are the commands that read the configuration.
var both = []string{"run", "check"}

func TestMissingFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "missing.json")
	for _, command := range both {
		expect(t, harness.Run(t, command, "--config-file", file), exitConfig, file, "no such file")
	}
}

func TestDefaultFileIsMissing(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	defer cancel()
	command := exec.CommandContext(ctx, harness.Binary())
	command.Dir = t.TempDir()
	expect(t, harness.RunCommand(t, command), exitConfig, "config.json", "no such file")
}

func TestUnreadableFile(t *testing.T) {
	folder := t.TempDir()
	for _, command := range both {
		expect(t, harness.Run(t, command, "--config-file", folder), exitConfig, folder, "is a directory")
	}
	file := write(t, `{}`)
	if err := os.Chmod(file, 0); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	defer cancel()
	command := exec.CommandContext(ctx, harness.Binary(), "check", "--config-file", file)
	if os.Geteuid() == 0 {
		// Nothing is unreadable to root: be somebody else, who gets as far as the file.
		for folder := filepath.Dir(file); folder != os.TempDir() && folder != "/"; folder = filepath.Dir(folder) {
			if err := os.Chmod(folder, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	expect(t, harness.RunCommand(t, command), exitConfig, file, "permission denied")
}

func TestNotJSON(t *testing.T) {
	for _, text := range []string{"", "{", "hello", `{"apps": [}`, `{"apps": []} trailing`, "\x00\xff\xfe", `[]`, `"apps"`} {
		file := write(t, text)
		for _, command := range both {
			result := harness.Run(t, command, "--config-file", file)
			expect(t, result, exitConfig)
			if len(places(file, result.Stderr)) == 0 {
				t.Errorf("%q: no place in %q", text, result.Stderr)
			}
		}
	}
}

func TestAllErrorsAtOnce(t *testing.T) {
	const text = `{
  "max_workers": "many",
  "no_such_key": 1,
  "apps": [
    {"name": "shop", "ports": [5001, 70000], "targets": ["10.0.0.1:80"]},
    {"name":   "shop", "ports": [5002], "targets": []},
    {"name": "mail", "ports": [   5002], "targets": ["10.0.0.1:80"], "connect_timeout": "soon"}
  ]
}
`
	file := write(t, text)
	// What is wrong, and words about it.
	wants := []struct{ what, about string }{
		{`"many"`, "max_workers: "},
		{`"no_such_key"`, "no_such_key"},
		{`70000`, "apps[0].ports[1]: "},
		{`"shop", "ports": [5002]`, "apps[1].name: "},
		{`[]`, "apps[1].targets: "},
		{`5002], "targets": ["`, "apps[2].ports[0]: "},
		{`"soon"`, "apps[2].connect_timeout: "},
	}
	for _, command := range both {
		result := harness.Run(t, command, "--config-file", file)
		expect(t, result, exitConfig)
		found := places(file, result.Stderr)
		for _, want := range wants {
			at := file + place(text, want.what)
			if !slices.ContainsFunc(found, func(line string) bool {
				return strings.Contains(line, at) && strings.Contains(line, want.about)
			}) {
				t.Errorf("%s: no error at %s about %s", command, at, want.about)
			}
		}
		if len(found) != len(wants) {
			t.Errorf("%s: %d errors, want %d", command, len(found), len(wants))
		}
		if t.Failed() {
			t.Log(result.Stderr)
		}
	}
}

// place is ":LINE:COLUMN: " of the first place of a word in a text, both counted from one.
func place(text, word string) string {
	before, _, _ := strings.Cut(text, word)
	line, column := 1+strings.Count(before, "\n"), len(before)-strings.LastIndexByte(before, '\n')
	return fmt.Sprintf(":%d:%d: ", line, column)
}

// A key whose feature is not there is an error, not a silent nothing.
func TestUnknownKeys(t *testing.T) {
	for _, key := range []string{`"Max_Worker": 5`, `"apps ": []`} {
		file := write(t, `{"apps": [{"ports": [5001], "targets": ["10.0.0.1:80"]}], `+key+`}`)
		result := harness.Run(t, "check", "--config-file", file)
		expect(t, result, exitConfig, file+":1:")
	}
}

func TestTwoAppsOnOnePort(t *testing.T) {
	file := write(t, `{"apps": [
  {"name": "shop", "ports": ["5000-5010"], "targets": ["10.0.0.1:80"]},
  {"name": "mail", "ports": [5005], "targets": ["10.0.0.1:25"]}
]}`)
	expect(t, harness.Run(t, "check", "--config-file", file), exitConfig, file+":3:30: ", "apps[1].ports[0]", "apps[0].ports[0]")
}

func TestMoreWorkersThanDescriptors(t *testing.T) {
	text := `{"apps": [{"ports": ["127.0.0.1:5001"], "targets": ["127.0.0.1:5002"]}]}`
	limited := func(arguments string) harness.Result {
		ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
		defer cancel()
		command := exec.CommandContext(ctx, "sh", "-c", `ulimit -n 300 && exec "$0" run `+arguments, harness.Binary())
		return harness.RunCommand(t, command)
	}
	expect(t, limited("--max-workers 200 --config-file "+write(t, text)), exitConfig, "200", "300")
	expect(t, limited("--config-file "+write(t, `{"max_workers": 200,`+text[1:])), exitConfig, "200", "300")
}
