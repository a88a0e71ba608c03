package admin

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
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
	for _, command := range [][]string{{"status"}, {"status", "--json"}, {"reload"}, {"drain"}, {"undrain", "a", "b"}} {
		result := harness.Run(t, append(command, "--socket", none)...)
		if result.Code != 1 || !strings.HasPrefix(result.Stderr, "tcp-proxy is not running, or its configuration has no such admin socket: there is no "+none+"\n") || result.Stdout != "" {
			t.Errorf("%v: %+v", command, result)
		}
	}
	without := write(t, harness.Config{Apps: []harness.App{{Ports: []any{5001}, Targets: []any{"127.0.0.1:1"}}}})
	if result := harness.Run(t, "status", "--config-file", without); result.Code != 78 || !strings.Contains(result.Stderr, "has no unix socket to ask the proxy at") {
		t.Errorf("a configuration without an admin socket: %+v", result)
	}
	for _, arguments := range [][]string{{"drain", "web"}, {"undrain", "a", "b", "c"}, {"reload", "x"}, {"status", "--socket"}} {
		if result := harness.Run(t, arguments...); result.Code != 2 {
			t.Errorf("%v: %+v", arguments, result)
		}
	}
}

// On a terminal the status is drawn in place, in colour unless the user does not want it, and the terminal is left as it was.
func TestWatch(t *testing.T) {
	r := harness.New(t, "copy")
	s := see(r, harness.Config{Apps: []harness.App{{Name: "web", Targets: harness.To(r.Identify("here"))}}})
	watch := func(environment ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
		defer cancel()
		// script(1) has the command at a terminal, and timeout(1) interrupts it there as Ctrl-C would.
		command := exec.CommandContext(ctx, "script", "-qec", "timeout -s INT 3 "+harness.Binary()+" status --watch --socket "+s.socket, "/dev/null")
		command.Env = append(append(os.Environ(), "TERM=xterm"), environment...)
		result := harness.RunCommand(t, command)
		return result.Stdout
	}
	text := watch("NO_COLOR=")
	if !strings.HasPrefix(text, "\x1b[?1049h\x1b[?25l\x1b[H") || !strings.HasSuffix(text, "\x1b[?25h\x1b[?1049l") {
		t.Errorf("the terminal is not entered and left: %q", text)
	}
	if frames := strings.Count(text, "\x1b[H"); frames < 2 || strings.Count(text, "LAST EVENTS") != frames || !strings.Contains(text, "\x1b[32malive") {
		t.Errorf("%d frames in %q", frames, text)
	}
	if text := watch("NO_COLOR=1"); strings.Contains(text, "\x1b[32m") || !strings.Contains(text, "alive") {
		t.Errorf("with NO_COLOR: %q", text)
	}

	// Elsewhere one follows the other; and a proxy that goes away is said to be gone.
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	command := exec.CommandContext(ctx, "timeout", "-s", "INT", "5", harness.Binary(), "status", "--watch", "--socket", s.socket)
	done := make(chan harness.Result, 1)
	go func() { done <- harness.RunCommand(t, command) }()
	if code := s.Stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if result := <-done; !strings.Contains(result.Stdout, "tcp-proxy is not running") || strings.Contains(result.Stdout, "\x1b") {
		t.Errorf("a proxy that goes away: %+v", result)
	}
}
