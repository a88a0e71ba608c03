package daemon

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tcp-proxy/internal/admin/client"
	"tcp-proxy/internal/config"
)

// withReloadSocket gives a daemon a reload socket.
func withReloadSocket(path string) func(*Daemon) {
	return func(d *Daemon) {
		d.source.ReloadSocket = path
		d.prepareReloadSocket()
	}
}

// The reload socket answers with the outcome of a reload, which the service manager has received by then. It needs no admin
// API in the configuration, takes nothing but reloads, and is gone after the stop.
func TestReloadSocket(t *testing.T) {
	m := newManager(t)
	path := filepath.Join(t.TempDir(), "reload.sock")
	r := startWith(t, m, simple(t), withReloadSocket(path))
	m.receives("READY=1")
	c := client.New(path)
	r.mu.Lock()
	good := r.reread
	r.mu.Unlock()
	r.replace(func() (*config.Config, error) { return nil, errors.New("a bad file") })
	if _, err := c.Reload(t.Context()); err == nil || !strings.HasSuffix(err.Error(), "a bad file") {
		t.Errorf("a refused reload: %v", err)
	}
	if got := m.receives("READY=1"); !strings.HasSuffix(got, "; reload refused: a bad file") {
		t.Errorf("the manager receives %q", got)
	}
	r.replace(good)
	if _, err := c.Reload(t.Context()); err != nil {
		t.Errorf("a good reload: %v", err)
	}
	if got := m.receives("READY=1"); strings.Contains(got, "refused") {
		t.Errorf("the manager receives %q", got)
	}
	for path, err := range map[string]error{
		"/api/v1/status": func() error { _, err := c.Status(t.Context()); return err }(),
		"/api/v1/drain":  c.Drain(t.Context(), true),
	} {
		if err == nil || !strings.HasSuffix(err.Error(), "no such path: "+path) {
			t.Errorf("%s at the reload socket: %v", path, err)
		}
	}
	r.end(t)
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the reload socket after the stop: %v", err)
	}
}

// A reload socket of a killed process does not matter. A daemon that cannot listen on its reload socket serves all the same,
// and logs that.
func TestReloadSocketFails(t *testing.T) {
	m := newManager(t)
	path := filepath.Join(t.TempDir(), "reload.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	r := startWith(t, m, simple(t), withReloadSocket(path))
	m.receives("READY=1")
	if _, err := client.New(path).Reload(t.Context()); err != nil {
		t.Error(err)
	}
	r.end(t)

	r = startWith(t, m, simple(t), withReloadSocket("/no/such/folder/reload.sock"))
	m.receives("READY=1")
	r.awaits(t, "listening on the reload socket failed")
	r.end(t)
}
