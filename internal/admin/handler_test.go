package admin

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/proxy"
)

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func host(name string) func(*http.Request) {
	return func(r *http.Request) { r.Host = name }
}

// What can be read can be read at every address, and every answer is closed against those who would misuse a browser.
func TestReading(t *testing.T) {
	a := start(t)
	for _, address := range []config.AdminAddress{a.socket, a.tcp} {
		for path, want := range map[string]struct{ kind, has string }{
			"/":              {"text/html; charset=utf-8", "<html"},
			"/healthz":       {"text/plain; charset=utf-8", "ok\n"},
			"/readyz":        {"text/plain; charset=utf-8", "ready\n"},
			"/metrics":       {"text/plain; version=0.0.4; charset=utf-8", "tcp_proxy_workers_max 100000\n"},
			"/api/v1/status": {"application/json", `"name":"web"`},
		} {
			got := a.ask(address, http.MethodGet, path)
			if got.code != http.StatusOK || got.header.Get("Content-Type") != want.kind || !strings.Contains(got.body, want.has) {
				t.Errorf("%s: %d %s, want %s with %q", path, got.code, got.header.Get("Content-Type"), want.kind, want.has)
			}
			for name, value := range map[string]string{
				"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin", "Referrer-Policy": "no-referrer",
				"Server": "tcp-proxy/1.2.3", "Access-Control-Allow-Origin": "",
			} {
				if got.header.Get(name) != value {
					t.Errorf("%s: %s is %q, want %q", path, name, got.header.Get(name), value)
				}
			}
			if csp := got.header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") {
				t.Errorf("%s: the policy is %q", path, csp)
			}
			head := a.ask(address, http.MethodHead, path)
			if head.code != http.StatusOK || head.body != "" {
				t.Errorf("HEAD %s: %d, %q", path, head.code, head.body)
			}
		}
	}
}

func TestCompression(t *testing.T) {
	a := start(t)
	for _, path := range []string{"/", "/metrics", "/api/v1/status", "/api/v1/config"} {
		plain := a.ask(a.socket, http.MethodGet, path)
		squeezed := a.ask(a.socket, http.MethodGet, path, header("Accept-Encoding", "br, gzip;q=0.8"))
		if plain.header.Get("Content-Encoding") != "" || squeezed.header.Get("Content-Encoding") != "gzip" {
			t.Fatalf("%s: encodings %q and %q", path, plain.header.Get("Content-Encoding"), squeezed.header.Get("Content-Encoding"))
		}
		z, err := gzip.NewReader(strings.NewReader(squeezed.body))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(z)
		if err != nil || len(text) == 0 {
			t.Errorf("%s: %d bytes, %v", path, len(text), err)
		}
	}
	for accept, want := range map[string]bool{
		"": false, "gzip": true, "GZIP": true, "gzip;q=0": false, "gzip; q=0.0": false, "deflate, gzip ; q=1": true, "*": true,
		"identity": false, "gzipped": false, "gzip;q=x": true,
	} {
		r, _ := http.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Accept-Encoding", accept)
		if takesGzip(r) != want {
			t.Errorf("Accept-Encoding: %s: %v", accept, !want)
		}
	}
}

func TestReady(t *testing.T) {
	a := start(t)
	for _, stage := range []proxy.Stage{proxy.Starting, proxy.Serving, proxy.Draining, proxy.Stopping} {
		a.node.Set(stage)
		want, code := string(stage)+"\n", http.StatusServiceUnavailable
		if stage == proxy.Serving {
			want, code = "ready\n", http.StatusOK
		}
		if got := a.ask(a.tcp, http.MethodGet, "/readyz"); got.code != code || got.body != want {
			t.Errorf("%s: %d %q, want %d %q", stage, got.code, got.body, code, want)
		}
		if got := a.ask(a.tcp, http.MethodGet, "/healthz"); got.code != http.StatusOK {
			t.Errorf("%s: healthz is %d", stage, got.code)
		}
	}
}

var actions = []string{
	"/api/v1/reload", "/api/v1/drain", "/api/v1/undrain",
	"/api/v1/apps/web/targets/10.0.0.1:80/drain", "/api/v1/apps/web/targets/10.0.0.1:80/undrain",
}

// What is wrong with a request is said in one way.
func TestWrongRequests(t *testing.T) {
	a := start(t)
	for _, path := range actions {
		a.expect(a.ask(a.socket, http.MethodGet, path), http.StatusMethodNotAllowed, "POST, not GET")
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions} {
			a.expect(a.ask(a.tcp, method, path), http.StatusForbidden, "read-only")
		}
	}
	for _, path := range []string{"/metrics", "/api/v1/status", "/healthz", "/readyz", "/"} {
		got := a.ask(a.socket, http.MethodPost, path)
		a.expect(got, http.StatusMethodNotAllowed, "GET, not POST")
		if got.header.Get("Allow") != http.MethodGet {
			t.Errorf("%s allows %q", path, got.header.Get("Allow"))
		}
		a.expect(a.ask(a.tcp, http.MethodPost, path), http.StatusForbidden, "read-only")
	}
	for _, path := range []string{"/nowhere", "/api", "/api/v2/status", "/api/v1/apps/web", "/metrics/", "/page", "/page/", "/page/x", "/page/x/y",
		"/page/index.html", "/index.html"} {
		got := a.ask(a.socket, http.MethodGet, path)
		a.expect(got, http.StatusNotFound, "no such path: "+path)
		var problem Problem
		if err := json.Unmarshal([]byte(got.body), &problem); err != nil || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %s %q, want JSON", path, got.header.Get("Content-Type"), got.body)
		}
	}
	var problem Problem
	got := a.ask(a.socket, http.MethodGet, "/a%1b[2J%0aready"+strings.Repeat("a", 4000))
	if err := json.Unmarshal([]byte(got.body), &problem); err != nil || !strings.Contains(problem.Error, `/a\x1b[2J\nready`) || len(problem.Error) > 2*maxProblem {
		t.Errorf("%q, %v", problem.Error, err)
	}
	if stage := a.node.Stage(); stage != proxy.Serving {
		t.Errorf("a refused request has had an effect: %s", stage)
	}
}

// Bodies mean nothing, and are bounded all the same, whether their length is said before or not.
func TestBodies(t *testing.T) {
	a := start(t)
	body := func(size int, said bool) func(*http.Request) {
		return func(r *http.Request) {
			r.Body = io.NopCloser(bytes.NewReader(make([]byte, size)))
			r.ContentLength = -1
			if said {
				r.ContentLength = int64(size)
			}
		}
	}
	for _, said := range []bool{true, false} {
		a.expect(a.ask(a.socket, http.MethodPost, "/api/v1/drain", body(maxBody, said)), http.StatusNoContent, "")
		a.expect(a.ask(a.socket, http.MethodPost, "/api/v1/undrain", body(maxBody+1, said)), http.StatusRequestEntityTooLarge, "4096 bytes")
	}
	if a.node.Stage() != proxy.Draining {
		t.Error("a request that was too long has had an effect")
	}
	got, err := tryAsk(a.socket, http.MethodGet, "/healthz", header("X-Long", strings.Repeat("x", 2*maxHeader)))
	if err != nil || got.code != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a long header: %d, %v", got.code, err)
	}
}

// A page of somewhere else, whose name was made to point at this machine, reads nothing (DNS rebinding).
func TestStrangeNames(t *testing.T) {
	a := start(t)
	for _, name := range []string{"localhost", "localhost:9901", "LocalHost", "127.0.0.1:9901", "[::1]:9901", "10.0.0.1"} {
		a.expect(a.ask(a.tcp, http.MethodGet, "/api/v1/status", host(name)), http.StatusOK, "")
	}
	for _, name := range []string{"evil.example", "evil.example:9901", "localhost.evil.example", "127.0.0.1.evil.example"} {
		a.expect(a.ask(a.tcp, http.MethodGet, "/api/v1/status", host(name)), http.StatusForbidden, name)
		a.expect(a.ask(a.socket, http.MethodGet, "/api/v1/status", host(name)), http.StatusOK, "") // curl
		browser, https := header("Accept-Encoding", "gzip, deflate"), header("Sec-Fetch-Site", "same-origin")
		a.expect(a.ask(a.socket, http.MethodGet, "/api/v1/status", host(name), browser), http.StatusForbidden, name) // through a port that is forwarded
		a.expect(a.ask(a.socket, http.MethodGet, "/api/v1/status", host(name), browser, https), http.StatusOK, "")   // through a server with a certificate
		a.expect(a.ask(a.socket, http.MethodGet, "/api/v1/status", host("localhost:8080"), browser), http.StatusOK, "")
	}
}

func TestStatusIsTheSnapshot(t *testing.T) {
	a := start(t)
	var got proxy.Snapshot
	err := json.Unmarshal([]byte(a.ask(a.tcp, http.MethodGet, "/api/v1/status").body), &got)
	if err != nil {
		t.Fatal(err)
	}
	want := a.node.At(got.Taken)
	want.ProgramVersion = "1.2.3"
	if want.Hostname, err = os.Hostname(); err != nil {
		t.Fatal(err)
	}
	for i := range want.Apps { // which the JSON does not have
		want.Apps[i].Connect, want.Apps[i].Session = got.Apps[i].Connect, got.Apps[i].Session
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Whoever asks too much over one connection is told so, and the connection ends.
func TestTooMuch(t *testing.T) {
	a := start(t)
	conn, err := dial(a.tcp)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	burst := int(sourceRate.burst + regularRate.burst) // it becomes a regular
	for n := range 20 * burst {
		if _, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatalf("after %d answers: %v", n, err)
		}
		body, _ := io.ReadAll(response.Body)
		if response.StatusCode == http.StatusOK {
			continue
		}
		a.expect(answer{response.StatusCode, response.Header, string(body)}, http.StatusTooManyRequests, "too many")
		if n < burst || response.Header.Get("Retry-After") == "" || !response.Close {
			t.Errorf("after %d answers: %v", n, response.Header)
		}
		return
	}
	t.Error("nobody is told")
}

type broken struct{ Node }

func (broken) Stage() proxy.Stage { panic("out of order") }

func (broken) Sessions(context.Context, proxy.SessionQuery) proxy.Sessions { panic("out of order") }

// A mistake of ours ends neither the proxy nor the API.
func TestPanic(t *testing.T) {
	a := start(t)
	a.Server.node = broken{a.node}
	a.expect(a.ask(a.socket, http.MethodGet, "/readyz"), http.StatusInternalServerError, "internal error")
	a.expect(a.ask(a.socket, http.MethodGet, "/healthz"), http.StatusOK, "")
	for range 2 { // the first does not keep its turn
		a.expect(a.ask(a.socket, http.MethodGet, "/api/v1/sessions"), http.StatusInternalServerError, "internal error")
	}
	if text := a.logged(); !strings.Contains(text, "out of order") || !strings.Contains(text, "readyz") {
		t.Errorf("the log has %s", text)
	}
}

func ExampleMetrics() {
	m := Metrics()[0]
	fmt.Println(m.Name, m.Type, m.Labels, m.Help)
	// Output: tcp_proxy_sessions_active gauge [app] Open sessions.
}
