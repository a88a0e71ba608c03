package commandline

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"tcp-proxy/tests/harness"
)

const smallest = `{"Apps": [{"Name": "shop", "Ports": [5001], "Targets": ["10.0.0.1:80"]}]}`

func TestCheck(t *testing.T) {
	result := harness.Run(t, "check", "--config-file", write(t, smallest))
	expect(t, result, exitClean)
	for _, word := range []string{"shop", "5001", "10.0.0.1:80"} {
		if !strings.Contains(result.Stdout, word) {
			t.Errorf("the summary does not name %s:\n%s", word, result.Stdout)
		}
	}
	if result.Stderr != "" {
		t.Errorf("standard error: %s", result.Stderr)
	}
}

// Ports that connections which go out may take are noted, and no mistake.
func TestCheckNotesEphemeralPorts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIP: a range of its own wants root")
	}
	harness.Namespace(t, "--net")
	file := write(t, `{"apps": [
  {"name": "a", "ports": [5001, "40000-40010", "40020"], "targets": ["10.0.0.1:80"]},
  {"name": "b", "ports": ["unix:/run/b.sock", "127.0.0.1:50001"], "targets": ["10.0.0.1:80"]}
]}`)
	check := func(reserved string, arguments ...string) harness.Result {
		ctx, cancel := context.WithTimeout(context.Background(), harness.Timeout)
		defer cancel()
		const script = `echo 40000 50000 > /proc/sys/net/ipv4/ip_local_port_range && echo "$1" > /proc/sys/net/ipv4/ip_local_reserved_ports && shift && exec "$@"`
		all := append([]string{"--net", "sh", "-c", script, "sh", reserved, harness.Binary(), "check", "--config-file", file}, arguments...)
		return harness.RunCommand(t, exec.CommandContext(ctx, "unshare", all...))
	}
	expectNotes := func(result harness.Result, notes ...string) {
		t.Helper()
		expect(t, result, exitClean)
		if n := strings.Count(result.Stdout, "note: "); n != len(notes) {
			t.Errorf("%d notes, want %d:\n%s", n, len(notes), result.Stdout)
		}
		for _, note := range notes {
			if !strings.Contains(result.Stdout, "note: "+file+note) {
				t.Errorf("no %q in\n%s", note, result.Stdout)
			}
		}
	}
	expectNotes(check(""),
		":2:33: apps[0].ports[1]: outgoing connections may take 40000-40010, which is in net.ipv4.ip_local_port_range (40000 to 50000): "+
			"set net.ipv4.ip_local_reserved_ports=40000-40010,",
		":2:48: apps[0].ports[2]: outgoing connections may take 40020,")
	expectNotes(check("40001-40009,40020-40030"), ":2:33: apps[0].ports[1]: outgoing connections may take 40000,40010,")
	expectNotes(check("40000-40100"))
	if result := check("", "--quiet"); result.Stdout != "" || result.Code != exitClean {
		t.Errorf("%+v", result)
	}
}

func TestUsage(t *testing.T) {
	file := write(t, smallest)
	for _, arguments := range [][]string{
		{"--no-such-flag"},
		{"run", "--no-such-flag"},
		{"check", "--no-such-flag"},
		{"no-such-command"},
		{"run", "argument"},
		{"check", "argument"},
		{"version", "argument"},
		{"--max-workers", "many", "--config-file", file},
		{"--max-workers"},
		{"--engine", "steam", "--config-file", file},
		{"--log-level", "loud", "--config-file", file},
		{"--log-format", "xml", "--config-file", file},
		{"completion", "tcsh"},
	} {
		result := harness.Run(t, arguments...)
		if result.Code != exitUsage || result.Stderr == "" {
			t.Errorf("%q: exit code %d, standard error %q; want %d and a word", arguments, result.Code, result.Stderr, exitUsage)
		}
	}
	for _, workers := range []string{"0", "-1"} {
		result := harness.Run(t, "--config-file", file, "--max-workers", workers)
		if result.Code != exitUsage && result.Code != exitConfig || result.Stderr == "" {
			t.Errorf("%s workers: exit code %d, standard error %q", workers, result.Code, result.Stderr)
		}
	}
}

func TestHelp(t *testing.T) {
	result := harness.Run(t, "--help")
	expect(t, result, exitClean)
	for _, word := range []string{"run", "check", "schema", "version", "completion", "--config-file", "--max-workers", "--engine", "--log-level", "--log-format"} {
		if !strings.Contains(result.Stdout, word) {
			t.Errorf("the help does not name %s:\n%s", word, result.Stdout)
		}
	}
}

func TestSchema(t *testing.T) {
	result := harness.Run(t, "schema")
	expect(t, result, exitClean)
	text, err := jsonschema.UnmarshalJSON(strings.NewReader(result.Stdout))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("schema.json", text); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for config, valid := range map[string]bool{
		`{"apps": [{"name": "a", "ports": [5001, "5002-5010", "unix:/run/a.sock"], "targets": ["10.0.0.1:80", {"address": "10.0.0.2:80", "weight": 2}]}]}`:          true,
		`{"apps": [{"ports": [5001], "targets": ["10.0.0.1:80"], "connect_timeout": "250ms"}]}`:                                                                     true,
		`{"reload": "auto", "admin": {"listen": ["127.0.0.1:9901"]}, "apps": [{"ports": [5001], "targets": ["srv:_web._tcp.example.internal"]}]}`:                   true,
		`{"apps": [{"ports": [5001], "targets": ["10.0.0.1:80"], "probe": {"when": "always", "http": {"path": "/"}}, "on_dead": "close", "deny": ["10.0.0.0/8"]}]}`: true,
		`{"apps": [{"ports": [5001], "targets": ["10.0.0.1:80"], "probe": {"http": {"path": ""}}}]}`:                                                                false,
		`{"apps": [{"ports": [5001], "targets": []}]}`:                               false,
		`{"apps": [{"ports": [70000], "targets": ["10.0.0.1:80"]}]}`:                 false,
		`{"apps": [{"ports": [5001], "targets": ["10.0.0.1:80"]}], "no_such": 1}`:    false,
		`{"apps": [{"ports": [5001], "targets": ["10.0.0.1:80"], "no_such": true}]}`: false,
		`[]`: false,
	} {
		var value any
		if err := json.Unmarshal([]byte(config), &value); err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(value); (err == nil) != valid {
			t.Errorf("%s: %v; want valid = %v", config, err, valid)
		}
		// The binary says the same.
		code := harness.Run(t, "check", "--config-file", write(t, config)).Code
		if (code == exitClean) != valid {
			t.Errorf("%s: check exits with %d; want valid = %v", config, code, valid)
		}
	}
}

func TestVersion(t *testing.T) {
	result := harness.Run(t, "version")
	expect(t, result, exitClean)
	if !strings.HasPrefix(result.Stdout, "tcp-proxy ") || strings.Count(result.Stdout, "\n") < 1 {
		t.Errorf("standard output: %q", result.Stdout)
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		result := harness.Run(t, "completion", shell)
		expect(t, result, exitClean)
		if !strings.Contains(result.Stdout, "tcp-proxy") {
			t.Errorf("%s: %q", shell, result.Stdout)
		}
		if shell != "bash" {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), harness.Timeout)
		defer cancel()
		parse := exec.CommandContext(ctx, "bash", "-n")
		parse.Stdin = strings.NewReader(result.Stdout)
		if parsed := harness.RunCommand(t, parse); parsed.Code != 0 {
			t.Errorf("bash does not parse it: %s", parsed.Stderr)
		}
	}
}
