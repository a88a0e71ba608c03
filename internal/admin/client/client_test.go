package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"tcp-proxy/internal/admin"
	"tcp-proxy/internal/config"
	"tcp-proxy/internal/logging"
	"tcp-proxy/internal/proxy"
	"tcp-proxy/tests/fakenode"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start serves a fake node and gives a client of it.
func start(t *testing.T) (*fakenode.Node, *Client) {
	t.Helper()
	node, path := fakenode.New(2, 10), filepath.Join(t.TempDir(), "admin.sock")
	server := admin.New(node, "1.2.3", logging.Discard())
	plan, err := server.Prepare([]config.AdminAddress{{Network: "unix", Path: path}})
	if err != nil {
		t.Fatal(err)
	}
	plan.Commit()
	c := New(path)
	t.Cleanup(func() {
		c.http.CloseIdleConnections()
		server.Close(context.Background())
	})
	return node, c
}

func TestClient(t *testing.T) {
	node, c := start(t)
	ctx := t.Context()
	s, err := c.Status(ctx)
	if err != nil || s.Program != "1.2.3" || len(s.Apps) != 2 || s.Apps[0].Name != "web" || !json.Valid(s.Body) {
		t.Fatalf("%+v, %v", s, err)
	}
	for _, name := range []string{"10.0.0.1:80", "[2001:db8:0::7]:8443", "unix:/run/app-0/backend-9.sock", "backend-0.cluster.internal:8443/10.64.0.8:8443"} {
		for on, want := range map[bool]bool{true: true, false: false} {
			if err := c.DrainTarget(ctx, "web", name, on); err != nil {
				t.Fatal(err)
			}
			s, err := c.Status(ctx)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(s.Apps[0].Targets, func(t proxy.Target) bool { return t.Name == name })
			if got := s.Apps[0].Targets[i].State == "draining"; got != want {
				t.Errorf("%s is draining: %v, want %v", name, got, want)
			}
		}
	}
	for on, want := range map[bool]proxy.Stage{true: proxy.Draining, false: proxy.Serving} {
		if err := c.Drain(ctx, on); err != nil || node.Stage() != want {
			t.Errorf("drain %v: %s, %v", on, node.Stage(), err)
		}
	}
	node.Reloaded = func() (proxy.Changes, error) { return proxy.Changes{Added: []string{"a"}}, nil }
	if changes, err := c.Reload(ctx); err != nil || changes.String() != "added a" {
		t.Errorf("reload: %s, %v", changes, err)
	}
}

// What the proxy does not do comes with its words and its code.
func TestRefused(t *testing.T) {
	node, c := start(t)
	err := c.DrainTarget(t.Context(), "web", "nobody", true)
	var refused *Refused
	if !errors.As(err, &refused) || refused.Code != http.StatusNotFound || !strings.Contains(err.Error(), `target "nobody" of app "web"`) {
		t.Errorf("%v", err)
	}
	node.Reloaded = func() (proxy.Changes, error) {
		return proxy.Changes{}, config.Errors{{File: "config.json", Line: 1, Column: 2, Text: "one"}, {Text: "two"}}
	}
	_, err = c.Reload(t.Context())
	if !errors.As(err, &refused) || refused.Code != http.StatusUnprocessableEntity ||
		err.Error() != "reload refused, keeping the current configuration\nconfig.json:1:2: one\ntwo" {
		t.Errorf("%v", err)
	}
}

// A proxy that cannot be asked is told from one that does not run, in words.
func TestNobodyThere(t *testing.T) {
	folder := t.TempDir()
	left := filepath.Join(folder, "left.sock")
	l, err := net.Listen("unix", left)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(folder, "none.sock"): "tcp-proxy is not running, or its configuration has no such admin socket: no file " + folder + "/none.sock",
		left:                               "tcp-proxy is not running: nobody listens on " + left,
		file:                               file + " is not a socket: name the admin socket of the proxy with --socket, or its configuration with --config-file",
		folder:                             folder + " is not a socket: name the admin socket of the proxy with --socket, or its configuration with --config-file",
	} {
		if _, err := New(path).Status(t.Context()); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := New(strings.Repeat("x", 200)).Status(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "query tcp-proxy at xxx") {
		t.Errorf("a path that is too long: %v", err)
	}
}

// What comes from another program at the socket is not read without end, and does nothing to a terminal.
func TestHostileAnswers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			for err == nil {
				_, err = w.Write(make([]byte, 1<<10))
			}
			return
		}
		w.WriteHeader(http.StatusConflict)
		io.WriteString(w, `{"error": "\u001b[2J", "errors": ["one\ntwo", "`+strings.Repeat("x", 1<<20)+`"]}`)
	})}
	go server.Serve(l)
	defer server.Close()
	c := New(path)
	c.most = 2 << 20
	defer c.http.CloseIdleConnections()
	if _, err := c.Status(t.Context()); err == nil || err.Error() != "the response from "+path+" has more than 2097152 bytes" {
		t.Errorf("an answer without end: %v", err)
	}
	if err := c.Drain(t.Context(), true); err == nil || !strings.HasPrefix(err.Error(), `\x1b[2J`+"\n"+`one\ntwo`+"\nxxx") || len(err.Error()) > 2*mostText {
		t.Errorf("an answer that is not for a terminal: %.100v", err)
	}
}

// Another program at the socket, or another version of this one, is not taken for the proxy that was meant.
func TestStrangeAnswers(t *testing.T) {
	for body, want := range map[string]string{
		"hello":                       "is not a ",
		`[{"version": 1}]`:            "is not a ",
		`{"version": 99, "apps": []}`: "has version 99, but this program knows version 1",
		`{"apps": 1, "sessions": 1, "files": 1, "version": 99}`: "has version 99, but this program knows version 1",
		`{"version": 1, "apps": [{}]}`:                          "",
	} {
		path := filepath.Join(t.TempDir(), "sock")
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet {
				http.Error(w, "no", http.StatusTeapot)
				return
			}
			io.WriteString(w, body)
		})}
		go server.Serve(l)
		c := New(path)
		for name, ask := range map[string]func() ([]byte, error){
			"status":           func() ([]byte, error) { s, err := c.Status(t.Context()); return s.Body, err },
			"list of sessions": func() ([]byte, error) { s, err := c.Sessions(t.Context(), nil); return s.Body, err },
			"configuration":    func() ([]byte, error) { s, err := c.Config(t.Context()); return s.Body, err },
		} {
			got, err := ask()
			if (err == nil) != (want == "") || err != nil && !(strings.Contains(err.Error(), want) && strings.Contains(err.Error(), name)) {
				t.Errorf("%s as a %s: %v", body, name, err)
			}
			if strings.Contains(want, "version") && string(got) != body {
				t.Errorf("the body is %q", got)
			}
		}
		if err := c.Drain(t.Context(), true); err == nil || !strings.Contains(err.Error(), "418") {
			t.Errorf("an answer that is none of ours: %v", err)
		}
		c.http.CloseIdleConnections()
		server.Close()
	}
}
