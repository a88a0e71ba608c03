package commandline

import (
	"context"
	"errors"
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
	ctx, cancel := context.WithTimeout(context.Background(), harness.Timeout)
	defer cancel()
	command := exec.CommandContext(ctx, harness.Binary())
	command.Dir = t.TempDir()
	expect(t, harness.RunCommand(t, command), exitConfig, "there is no config.json here: name yours with --config-file")
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
	expect(t, runUnprivileged(t, file, "check", "--config-file", file), exitConfig, file, "permission denied")
}

// runUnprivileged runs the binary as a user other than root, who can reach a file, but not more of it than its mode allows.
func runUnprivileged(t *testing.T, file string, arguments ...string) harness.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), harness.Timeout)
	defer cancel()
	command := exec.CommandContext(ctx, harness.Binary(), arguments...)
	if os.Geteuid() == 0 {
		for folder := filepath.Dir(file); folder != os.TempDir() && folder != "/"; folder = filepath.Dir(folder) {
			if err := os.Chmod(folder, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	return harness.RunCommand(t, command)
}

// Nothing that is no regular file is waited for or read to its end, and a file is not told all its mistakes without end.
func TestUnfitFiles(t *testing.T) {
	folder := t.TempDir()
	fifo, huge, wrong := filepath.Join(folder, "fifo"), filepath.Join(folder, "huge"), write(t, "{"+strings.Repeat(`"x":1,`, 250_000)+"}")
	if err := errors.Join(syscall.Mkfifo(fifo, 0o600), os.WriteFile(huge, nil, 0o600), os.Truncate(huge, 1<<40)); err != nil {
		t.Fatal(err)
	}
	for file, says := range map[string]string{
		fifo:               "is a pipe or FIFO, not a regular file",
		"/dev/full":        "is a device, not a regular file",
		"/proc/self/fd/63": "no such file",
		huge:               "is larger than 16 MiB",
		wrong:              "and 249901 more errors",
	} {
		for _, command := range both {
			result := harness.Run(t, command, "--config-file", file)
			expect(t, result, exitConfig, file+": ", says)
			if len(result.Stderr) > 20_000 {
				t.Errorf("%s %s prints %d bytes", command, file, len(result.Stderr))
			}
		}
	}
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

// Every part of an app's policy is checked before it runs, and each mistake has its place.
func TestBadPolicies(t *testing.T) {
	const text = `{
  "admin": {"listen": ["unix:/run/tcp-proxy/admin.sock", 9901, "127.0.0.1:5001"]},
  "reload": "always",
  "apps": [
    {"name": "a", "ports": [5001], "targets": ["10.0.0.1:80", "srv:_web.example.internal"], "balance": "fastest"},
    {"name": "b", "ports": [5002], "targets": ["10.0.0.1:80"], "allow": ["10.0.0.5/8"], "deny": ["everybody"]},
    {"name": "c", "ports": [5003], "targets": ["[fd00::1]:80"], "source_address": "10.0.0.9"},
    {"name": "d", "ports": [5004], "targets": ["10.0.0.1:80"], "max_sessions": -1, "sessions_per_second_per_source": 1e3},
    {"name": "e", "ports": [5005], "targets": ["10.0.0.1:80"], "bytes_per_second": {"upload": -5}, "max_session_duration": "1d"},
    {"name": "f", "ports": [5006], "targets": ["10.0.0.1:80"], "accept_proxy_protocol": true, "send_proxy_protocol": "v3"},
    {"name": "g", "ports": [5007], "targets": ["10.0.0.1:80"], "probe": {"http": {"status": "2xx"}, "expect": "\\q"}},
    {"name": "h", "ports": [5008], "targets": ["10.0.0.1:80"], "probe": {"when": "never"}, "on_dead": "close"}
  ]
}
`
	file := write(t, text)
	wants := []struct{ what, about string }{
		{`9901`, `admin.listen[1]: a port alone would be open to every address: name one, as in "127.0.0.1:9901"`},
		{`"127.0.0.1:5001"`, `admin.listen[2]: 127.0.0.1:5001 is taken by 5001 of app "a", apps[0].ports[0]`},
		{`"always"`, `reload: must be "signal" or "auto"`},
		{`"srv:_web.example.internal"`, `apps[0].targets[1]: "_web.example.internal" is not a name of SRV records`},
		{`"fastest"`, `apps[0].balance: must be "round_robin", `},
		{`"10.0.0.5/8"`, `apps[1].allow[0]: "10.0.0.5/8" has bits beyond its prefix: did you mean "10.0.0.0/8"?`},
		{`"everybody"`, `apps[1].deny[0]: "everybody" is not a network`},
		{`"10.0.0.9"`, `apps[2].source_address: the source address 10.0.0.9 is IPv4`},
		{`-1`, `apps[3].max_sessions: must be from 0 to 1000000`},
		{`1e3`, `apps[3].sessions_per_second_per_source: must be a whole number`},
		{`-5}`, `apps[4].bytes_per_second.upload: must be from 0 to `},
		{`"1d"`, `apps[4].max_session_duration: must be a duration`},
		{`true`, `apps[5].accept_proxy_protocol: must be false or an object, not true`},
		{`"v3"`, `apps[5].send_proxy_protocol: must be "", "v1" or "v2"`},
		{`"2xx"`, `apps[6].probe.http.status: must be a status or a range`},
		{`"\\q"`, `apps[6].probe.expect: has an invalid escape`},
		{`"close"`, `apps[7].on_dead: on_dead "close" needs probes`},
	}
	for _, command := range both {
		result := harness.Run(t, command, "--config-file", file)
		expect(t, result, exitConfig)
		for _, want := range wants {
			if line := file + place(text, want.what) + want.about; !strings.Contains(result.Stderr, line) {
				t.Errorf("%s does not say %s", command, line)
			}
		}
		if found := places(file, result.Stderr); len(found) != len(wants) {
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
	expect(t, harness.Run(t, "check", "--config-file", file), exitConfig, file+":3:30: ", "apps[1].ports[0]", `of app "shop"`, "apps[0].ports[0] at line 2, ")
}

func TestMoreWorkersThanDescriptors(t *testing.T) {
	text := `{"apps": [{"ports": ["127.0.0.1:5001"], "targets": ["127.0.0.1:5002"]}]}`
	limited := func(arguments string) harness.Result {
		ctx, cancel := context.WithTimeout(context.Background(), harness.Timeout)
		defer cancel()
		command := exec.CommandContext(ctx, "sh", "-c", `ulimit -n 300 && exec "$0" run `+arguments, harness.Binary())
		return harness.RunCommand(t, command)
	}
	expect(t, limited("--max-workers 200 --config-file "+write(t, text)), exitConfig, "200", "300")
	expect(t, limited("--config-file "+write(t, `{"max_workers": 200,`+text[1:])), exitConfig, "200", "300")
}
