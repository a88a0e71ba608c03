package admin

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tcp-proxy/tests/harness"
)

// write puts a configuration into a file of its own and returns its path.
func write(t *testing.T, config any) string {
	t.Helper()
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// The table tells which app, which target, since when and why.
func TestStatusCommand(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		alive, dead := r.Identify("here"), r.Refuse()
		s := see(r, harness.Config{MaxWorkers: 40, Apps: []harness.App{
			{Name: "web", Targets: append(harness.To(alive), dead, harness.TargetConfig{Address: r.Refuse(), Down: true})},
			{Name: "other", Targets: harness.To(alive)},
		}})
		open := r.Dial(s.Address())
		if _, err := open.Name(); err != nil {
			t.Fatal(err)
		}
		for range 2 { // one of them comes to the dead one first
			if _, err := r.Ask(s.Address()); err != nil {
				t.Fatal(err)
			}
		}
		result := harness.Run(t, "status", "--socket", s.socket)
		for _, want := range []string{"serving, up ", "engine " + engine, "/40", "\nweb ", "\nother ", s.Address(), alive.Address, "alive", "down",
			"connection refused", "new/s", "LAST EVENTS", "target is dead"} {
			if !strings.Contains(result.Stdout, want) {
				t.Errorf("the status does not say %q", want)
			}
		}
		for line := range strings.Lines(result.Stdout) {
			if strings.Contains(line, dead+" ") && strings.Contains(line, "dead") == strings.Contains(line, "alive") {
				t.Errorf("the dead target: %s", line)
			}
		}
		if strings.Contains(result.Stdout, "\x1b") || result.Code != 0 || result.Stderr != "" {
			t.Errorf("exit code %d, standard error %s", result.Code, result.Stderr)
		}
		if t.Failed() {
			t.Logf("%s", result.Stdout)
		}
		if one := harness.Run(t, "status", "--socket", s.socket, "other"); strings.Contains(one.Stdout, "\nweb ") || !strings.Contains(one.Stdout, "\nother ") {
			t.Errorf("the status of one app:\n%s", one.Stdout)
		}

		raw := harness.Run(t, "status", "--json", "--socket", s.socket)
		var got status
		if err := json.Unmarshal([]byte(raw.Stdout), &got); err != nil || got.Version != 1 || len(got.Apps) != 2 || got.Apps[0].Active != 1 {
			t.Errorf("the JSON: %v, %+v", err, got)
		}
		// The configuration says where to ask.
		file := write(t, s.config)
		if result := harness.Run(t, "status", "--json", "--config-file", file); result.Code != 0 || len(result.Stdout) != len(raw.Stdout) && !strings.HasPrefix(result.Stdout, `{"version":1,`) {
			t.Errorf("by the configuration: %+v", result)
		}
		completed := harness.Run(t, "__complete", "drain", "--socket", s.socket, "web", "")
		if !strings.Contains(completed.Stdout, alive.Address+"\n") {
			t.Errorf("the shell is offered %s", completed.Stdout)
		}
	})
}

// Without a proxy the commands say so, and nothing else.
func TestNobodyToAsk(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none.sock")
	for _, command := range [][]string{{"status"}, {"status", "--json"}, {"reload"}, {"drain"}, {"undrain", "a", "b"}, {"sessions"}, {"sessions", "--json"}, {"close", "1"}} {
		result := harness.Run(t, append(command, "--socket", none)...)
		if result.Code != 1 || !strings.HasPrefix(result.Stderr, "tcp-proxy is not running, or its configuration has no such admin socket: no file "+none+"\n") || result.Stdout != "" {
			t.Errorf("%v: %+v", command, result)
		}
	}
	without := write(t, harness.Config{Apps: []harness.App{{Ports: []any{5001}, Targets: []any{"127.0.0.1:1"}}}})
	if result := harness.Run(t, "status", "--config-file", without); result.Code != 78 || !strings.Contains(result.Stderr, "has no unix socket to connect to") {
		t.Errorf("a configuration without an admin socket: %+v", result)
	}
	for _, arguments := range [][]string{{"drain", "web"}, {"undrain", "a", "b", "c"}, {"reload", "x"}, {"status", "--socket"}} {
		if result := harness.Run(t, arguments...); result.Code != 2 {
			t.Errorf("%v: %+v", arguments, result)
		}
	}
}
