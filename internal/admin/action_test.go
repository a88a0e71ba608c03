package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/proxy"
)

// An action is done, logged, and seen by who asks next.
func TestActions(t *testing.T) {
	a := start(t)
	status := func() (s proxy.Snapshot) {
		t.Helper()
		if err := json.Unmarshal([]byte(a.ask(a.socket, http.MethodGet, "/api/v1/status").body), &s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	state := func(name string) string {
		t.Helper()
		for _, target := range status().Apps[0].Targets {
			if target.Name == name {
				return string(target.State)
			}
		}
		t.Fatalf("no target %s", name)
		return ""
	}
	a.expect(a.ask(a.socket, http.MethodPost, "/api/v1/drain"), http.StatusNoContent, "")
	if s := status().State; s != proxy.Draining {
		t.Errorf("a drained node is %s", s)
	}
	a.expect(a.ask(a.socket, http.MethodPost, "/api/v1/undrain"), http.StatusNoContent, "")
	if s := status().State; s != proxy.Serving {
		t.Errorf("a node that is no longer drained is %s", s)
	}
	for name, path := range map[string]string{
		"10.0.0.1:80":                                    "10.0.0.1:80",
		"[2001:db8:0::7]:8443":                           "%5B2001:db8:0::7%5D:8443",
		"unix:/run/app-0/backend-9.sock":                 "unix:%2Frun%2Fapp-0%2Fbackend-9.sock",
		"backend-0.cluster.internal:8443/10.64.0.8:8443": "backend-0.cluster.internal:8443%2F10.64.0.8:8443",
	} {
		before := state(name)
		a.expect(a.ask(a.socket, http.MethodPost, "/api/v1/apps/web/targets/"+path+"/drain"), http.StatusNoContent, "")
		if got := state(name); got != "draining" {
			t.Errorf("drained target %s is %s", name, got)
		}
		a.expect(a.ask(a.socket, http.MethodPost, "/api/v1/apps/web/targets/"+path+"/undrain"), http.StatusNoContent, "")
		if got := state(name); got != before {
			t.Errorf("target %s was %s and is %s", name, before, got)
		}
	}
	a.expect(a.ask(a.socket, http.MethodPost, "/api/v1/apps/web/targets/nobody:80/drain"), http.StatusNotFound, `target "nobody:80" of app "web"`)
	a.expect(a.ask(a.socket, http.MethodPost, "/api/v1/apps/none/targets/10.0.0.1:80/drain"), http.StatusNotFound, `app "none"`)
	logged := a.logged()
	for _, want := range []string{"admin: POST /api/v1/drain from uid 0", "POST /api/v1/apps/web/targets/10.0.0.1:80/undrain from uid 0", "uid=0"} {
		if !strings.Contains(logged, want) {
			t.Errorf("the log does not have %q", want)
		}
	}
}

// A page of another site, in the browser of an operator who has forwarded a port to the socket, does no action.
func TestActionsOfOtherPages(t *testing.T) {
	a := start(t)
	for _, c := range []struct {
		host    string
		headers []string
		code    int
	}{
		{"localhost:9901", nil, http.StatusNoContent}, // curl
		{"any.name", nil, http.StatusNoContent},
		{"localhost:9901", []string{"Origin", "http://localhost:9901", "Sec-Fetch-Site", "same-origin"}, http.StatusNoContent},
		{"localhost:9901", []string{"Origin", "http://localhost:9901"}, http.StatusNoContent},
		{"127.0.0.1:9901", []string{"Origin", "http://127.0.0.1:9901"}, http.StatusNoContent},
		{"lb1.example.net", []string{"Origin", "https://lb1.example.net", "Sec-Fetch-Site", "same-origin"}, http.StatusNoContent},
		{"localhost:9901", []string{"Origin", "http://evil.example", "Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		{"localhost:9901", []string{"Origin", "http://localhost:8000", "Sec-Fetch-Site", "same-site"}, http.StatusForbidden},
		{"localhost:9901", []string{"Origin", "http://evil.example"}, http.StatusForbidden},
		{"localhost:9901", []string{"Origin", "null"}, http.StatusForbidden},
		{"evil.example:9901", []string{"Origin", "http://evil.example:9901"}, http.StatusForbidden}, // DNS rebinding
	} {
		change := []func(*http.Request){host(c.host)}
		for i := 0; i < len(c.headers); i += 2 {
			change = append(change, header(c.headers[i], c.headers[i+1]))
		}
		if got := a.ask(a.socket, http.MethodPost, "/api/v1/undrain", change...); got.code != c.code {
			t.Errorf("as %s, with %v: %d %s, want %d", c.host, c.headers, got.code, got.body, c.code)
		}
	}
}

func TestReload(t *testing.T) {
	a := start(t)
	one := config.Error{File: "config.json", Line: 3, Column: 5, Path: "apps[0].ports[0]", Text: "0 is no port"}
	other := config.Error{File: "config.json", Line: 4, Column: 5, Text: "unknown key"}
	inUse := (&config.Config{}).Errorf("apps[0].ports[0]", `app "web" cannot listen on 80: %w`, unix.EADDRINUSE)
	for _, c := range []struct {
		err    error
		code   int
		errors []string
	}{
		{nil, http.StatusOK, nil},
		{config.Errors{one, other}, http.StatusUnprocessableEntity, []string{one.Error(), other.Error()}},
		{fmt.Errorf("wrapped: %w", config.Errors{one, other}), http.StatusUnprocessableEntity, []string{one.Error(), other.Error()}},
		{one, http.StatusUnprocessableEntity, []string{one.Error()}},
		{errors.Join(inUse), http.StatusInternalServerError, []string{inUse.Error()}},
		{loadError(t), http.StatusUnprocessableEntity, []string{loadError(t).Error()}},
		{errors.New("stopping"), http.StatusInternalServerError, []string{"stopping"}},
	} {
		want := proxy.Changes{Added: []string{"a"}, Removed: []string{}, Changed: []string{"b: ports"}, Global: []string{}}
		a.node.Reloaded = func() (proxy.Changes, error) { return want, c.err }
		got := a.ask(a.socket, http.MethodPost, "/api/v1/reload")
		a.expect(got, c.code, "reload refused")
		if c.err == nil {
			if got.body != `{"added":["a"],"removed":[],"changed":["b: ports"],"global":[]}`+"\n" {
				t.Errorf("the changes are %s", got.body)
			}
			continue
		}
		var p Problem
		if err := json.Unmarshal([]byte(got.body), &p); err != nil || !slices.Equal(p.Errors, c.errors) {
			t.Errorf("%v: errors %q, want %q (%v)", c.err, p.Errors, c.errors, err)
		}
	}
}

func loadError(t *testing.T) error {
	_, err := config.Load("no-such-file.json")
	if err == nil {
		t.Fatal("the file is there")
	}
	return err
}
