package client

import (
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// Whoever answers at the socket may send anything: none of it acts on a terminal, and a text is one line.
func TestWhatAProxySendsIsMadeFit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	const bad = `a\u001b[2J\nready\u009b\u202e`
	code := http.StatusUnprocessableEntity
	server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", "tcp-proxy/\xc2\x9b1")
		w.WriteHeader(code)
		if code == http.StatusOK {
			w.Write([]byte(`{"version": 1, "added": ["` + bad + `"], "removed": ["` + bad + `"], "changed": ["` + bad + `"], "global": ["` + bad + `"]}`))
			return
		}
		w.Write([]byte(`{"error": "` + bad + `", "errors": ["` + bad + `", "` + strings.Repeat("long", 1<<16) + `"]}`))
	})}
	done := make(chan struct{})
	go func() { server.Serve(l); close(done) }()
	defer func() { server.Close(); <-done }()
	c := New(path)
	defer c.http.CloseIdleConnections()
	fit := func(what, text string, lines int) {
		t.Helper()
		if strings.ContainsAny(text, "\x1b\u009b\u202e") || strings.Count(text, "\n") != lines-1 || !strings.Contains(text, `a\x1b[2J\nready\u009b\u202e`) || len(text) > 3*mostText {
			t.Errorf("%s: %.200q", what, text)
		}
	}
	_, err = c.Reload(t.Context())
	fit("refused", err.Error(), 3)
	_, err = c.Status(t.Context())
	fit("no status", err.Error(), 3)
	code = http.StatusOK
	changes, err := c.Reload(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fit("changes", changes.String(), 1)
	if s, err := c.Status(t.Context()); err != nil || s.Program != `\u009b1` {
		t.Errorf("%q, %v", s.Program, err)
	}
	// So is the path, which the configuration gives.
	_, err = New(path + "\x1b[2J").Status(t.Context())
	if err == nil || strings.Contains(err.Error(), "\x1b") || !strings.Contains(err.Error(), `\x1b[2J`) {
		t.Errorf("%q", err)
	}
}
