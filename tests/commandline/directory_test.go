package commandline

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tcp-proxy/tests/harness"
)

// directory writes files into a folder of their own.
func directory(t *testing.T, texts map[string]string) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "conf.d")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range texts {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func app(name string, port int) string {
	return fmt.Sprintf(`{"apps": [{"name": %q, "ports": [%d], "targets": ["10.0.0.1:80"]}]}`, name, port)
}

// The summary has the number of files, the file of each app, and what is not read.
func TestCheckOfADirectory(t *testing.T) {
	folder := directory(t, map[string]string{"00-base.json": `{"max_workers": 70}`, "web.json": app("web", 5001), "db.json": app("db", 5002), "empty.json": "{}",
		"web.json~": "{", "db.json.dpkg-new": "{", ".hidden.json": "{", "evil\nname": ""})
	if err := os.Mkdir(filepath.Join(folder, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	want := folder + ` is valid: 4 files, 2 apps, 2 ports, 2 targets, engine loop, 70 workers
db (round_robin) in db.json
  ports    5002
  targets  10.0.0.1:80
web (round_robin) in web.json
  ports    5001
  targets  10.0.0.1:80
note: not read, because the name does not end in .json: db.json.dpkg-new, evil\nname, sub, web.json~
`
	result := harness.Run(t, "check", "--config-file", folder)
	expect(t, result, exitClean)
	if result.Stdout != want {
		t.Errorf("got\n%s\nwant\n%s", result.Stdout, want)
	}
	one := harness.Run(t, "check", "--config-file", directory(t, map[string]string{"web.json": app("web", 5001)}))
	if expect(t, one, exitClean); !strings.Contains(one.Stdout, " is valid: 1 file, 1 app, ") || strings.Contains(one.Stdout, "note: ") {
		t.Error(one.Stdout)
	}
	expect(t, harness.Run(t, "check", "--quiet", "--config-file", folder), exitClean)
}

// All errors of all files, by file; what two files share names both.
func TestErrorsOfADirectory(t *testing.T) {
	folder := directory(t, map[string]string{
		"10-a.json": "{\"log\": {},\n" + app("web", 5001)[1:],
		"20-b.json": "{\n  \"log\": {},\n" + `"apps": [{"name": "x", "ports": [0], "targets": []}]}`,
		"30-c.json": app("web", 5001),
		"40-d.json": `{"no_such_key": 1}`,
	})
	wants := []string{
		`/20-b.json:2:3: "log" is already at ` + folder + `/10-a.json:1:2: a setting other than "apps" stands in one file of the directory only`,
		`/20-b.json:3:34: apps[0].ports[0]: must be a whole number from 1 to 65535`,
		`/20-b.json:3:49: apps[0].targets: must have at least one target`,
		`/30-c.json:1:20: apps[0].name: the name "web" is taken by apps[0] at ` + folder + `/10-a.json:2:10`,
		`/30-c.json:1:37: apps[0].ports[0]: 5001 is taken by 5001 of app "web", apps[0].ports[0] at ` + folder + `/10-a.json:2:36`,
		`/40-d.json:1:2: unknown key "no_such_key"`,
	}
	for _, command := range both {
		result := harness.Run(t, command, "--config-file", folder)
		for _, want := range wants {
			expect(t, result, exitConfig, folder+want)
		}
		if lines := strings.Count(result.Stderr, "\n"); lines != len(wants) {
			t.Errorf("%s: %d errors, want %d", command, lines, len(wants))
		}
	}
}

// A directory that is no configuration gets a sentence that says why, and so does each file that cannot be read.
func TestUnfitDirectories(t *testing.T) {
	empty := directory(t, nil)
	others := directory(t, map[string]string{"web.conf": "", "web.json~": ""})
	linked := directory(t, map[string]string{"web.json": app("web", 5001)})
	if err := os.Symlink("gone", filepath.Join(linked, "link.json")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(linked, "sub.json"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, command := range both {
		expect(t, harness.Run(t, command, "--config-file", empty), exitConfig, empty+": is a directory without a configuration file: it needs at least one with a name like web.json\n")
		expect(t, harness.Run(t, command, "--config-file", others), exitConfig, others+`: is a directory without a configuration file: it needs at least one with a name like web.json; "web.conf" and 1 more are not read`+"\n")
		expect(t, harness.Run(t, command, "--config-file", linked), exitConfig,
			linked+"/link.json: is a symbolic link that leads nowhere: gone does not exist\n",
			linked+"/sub.json: is a directory, not a regular file: every *.json of a configuration directory is a regular file of at most 16 MiB\n")
		expect(t, harness.Run(t, command, "--config-file", directory(t, map[string]string{"a.json": "{}"})), exitConfig, `: none of its files has "apps"`)
	}
	secret := directory(t, map[string]string{"web.json": app("web", 5001), "secret.json": "{}"})
	if err := os.Chmod(filepath.Join(secret, "secret.json"), 0); err != nil {
		t.Fatal(err)
	}
	expect(t, runUnprivileged(t, filepath.Join(secret, "web.json"), "check", "--config-file", secret), exitConfig, secret+"/secret.json: cannot be read: permission denied\n")
	if err := os.Chmod(secret, 0o311); err != nil {
		t.Fatal(err)
	}
	expect(t, runUnprivileged(t, secret, "check", "--config-file", secret), exitConfig, "read configuration: open "+secret+": permission denied\n")
}

// An error about a key that no file has names the directory; one about a key of a file, the file.
func TestLimitsOfADirectory(t *testing.T) {
	limited := func(folder string) harness.Result {
		ctx, cancel := context.WithTimeout(context.Background(), harness.Timeout)
		defer cancel()
		return harness.RunCommand(t, exec.CommandContext(ctx, "sh", "-c", `ulimit -n 100 && exec "$0" check --config-file "$1"`, harness.Binary(), folder))
	}
	none := directory(t, map[string]string{"web.json": app("web", 5001)})
	expect(t, limited(none), exitConfig, none+": max_workers: 50 workers with engine ")
	some := directory(t, map[string]string{"web.json": app("web", 5001), "base.json": "{\n\"max_workers\": 60}"})
	expect(t, limited(some), exitConfig, some+"/base.json:2:16: max_workers: 60 workers with engine ")
}

// A directory named without its flag gets the flag, and its name completes as one of a file.
func TestDirectoryAsArgument(t *testing.T) {
	folder := directory(t, map[string]string{"web.json": app("web", 5001)})
	expect(t, harness.Run(t, "check", folder), exitUsage, `check takes no arguments, but got "`+folder+`": name a configuration with --config-file `+folder)
	ctx, cancel := context.WithTimeout(context.Background(), harness.Timeout)
	defer cancel()
	const script = `source <("$0" completion bash); complete -p tcp-proxy`
	if result := harness.RunCommand(t, exec.CommandContext(ctx, "bash", "-c", script, harness.Binary())); !strings.Contains(result.Stdout, "-o default") {
		t.Errorf("bash completes no paths: %q, %s", result.Stdout, result.Stderr)
	}
}

func TestSchemaOfADirectory(t *testing.T) {
	var required struct{ Required []string }
	for flag, want := range map[string]int{"--directory=false": 1, "--directory": 0} {
		result := harness.Run(t, "schema", flag)
		expect(t, result, exitClean)
		if err := json.Unmarshal([]byte(result.Stdout), &required); err != nil || len(required.Required) != want {
			t.Errorf("schema %s requires %q, %v", flag, required.Required, err)
		}
		required.Required = nil
	}
}
