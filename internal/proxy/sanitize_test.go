package proxy

import (
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/listen"
)

// Text from outside is one line each in a snapshot, without control characters.
func TestTextFromOutsideIsSanitized(t *testing.T) {
	s := start(t, parse(t, ownAddress(), `{"defaults": {"probe": {"when": "never"}, "retry_dead_after": "1h"}, "apps": [`+appLine("a", `"IP:5001"`, `"IP:5002"`)+`]}`))
	bad := errors.New("a\x1b[2J\nready")
	const want = `a\x1b[2J\nready`
	one := s.apps[0].targets.All()[0]
	one.Failed(false, bad)
	one.Probed(bad)
	s.ReloadRefused(bad)
	got := s.Snapshot()
	if x := got.Apps[0].Targets[0]; x.Reason != want || x.Probe.Problem != want {
		t.Errorf("%q, %q", x.Reason, x.Probe.Problem)
	}
	if got.Reloads.Problem != strings.ReplaceAll(want, `\n`, "\n") { // one line for each error
		t.Errorf("%q", got.Reloads.Problem)
	}
	for _, e := range got.Events {
		if strings.ContainsAny(e.Text+e.Reason+e.Target, "\x1b\n") {
			t.Errorf("%+v", e)
		}
	}
	s.ReloadRefused(errors.New(strings.Repeat(strings.Repeat("x", 1<<16)+"\n", 101)))
	if got := s.Snapshot().Reloads.Problem; strings.Count(got, "\n") != config.MaxLines || len(got) > 12<<10 {
		t.Errorf("why a reload was refused has %d bytes", len(got))
	}
	path := filepath.Join(t.TempDir(), "a\x1b[2J")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if text := (listen.Inherited{Name: "web\x1b", Listener: l}).String(); strings.Contains(text, "\x1b") {
		t.Errorf("%q", text)
	}
}
