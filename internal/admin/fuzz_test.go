package admin

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/time/rate"

	"tcp-proxy/internal/logging"
	"tcp-proxy/tests/fakenode"
)

// mostAnswer is more than any answer about the fake node has.
const mostAnswer = 256 << 10

// Whatever is asked at either kind of address: nothing panics, which would be an answer with 500, the answer is bounded, and what says that it is JSON or
// metrics is that.
func FuzzRequest(f *testing.F) {
	for _, request := range []string{
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET /readyz HTTP/1.0\r\n\r\n",
		"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip;q=0.5, *;q=0\r\n\r\n",
		"GET /api/v1/status HTTP/1.1\r\nHost: evil.example\r\n\r\n",
		"HEAD /api/v1/status HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nIf-None-Match: \"y\"\r\nRange: bytes=1-2\r\n\r\n",
		"GET /page/icon.svg HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /page/../x HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /api/v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
		"POST /api/v1/drain HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"POST /api/v1/undrain HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /api/v1/apps/app-0/targets/10.0.0.1%3A80/drain HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /api/v1/apps/%00%1b/targets/%ff/undrain HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n",
		"GET /api/v1/sessions?app=a&client=10.0.0.0/8&limit=3&search=x%20y HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /api/v1/sessions?client=%ff&a;b=%zz HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /api/v1/sessions/18446744073709551616/close HTTP/1.1\r\nHost: x\r\nOrigin: null\r\n\r\n",
		"POST /api/v1/log-level/%1b%00?for=1e9h HTTP/1.1\r\nHost: x\r\nSec-Fetch-Site: same-origin\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
		"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET http://a/b?c#d HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n",
	} {
		f.Add([]byte(request))
	}
	s := New(fakenode.New(2, 3), "1.2.3", logging.Discard())
	f.Cleanup(func() { s.Close(context.Background()) })
	enough := func() *rate.Limiter { return newBucket(limit{1e12, 1e12}) }
	c := rootConn(f)
	handlers := map[string]http.Handler{"unix": s.handler(true, enough()), "tcp": s.handler(false, enough())}
	f.Fuzz(func(t *testing.T, text []byte) {
		for kind, handler := range handlers {
			r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(text)))
			if err != nil {
				return // net/http answers that
			}
			ctx := context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9901}))
			if kind == "unix" {
				ctx = context.WithValue(r.Context(), connKey{}, c)
				c.source.bucket = enough()
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r.WithContext(ctx))
			judge(t, r, w.Result())
		}
	})
}

// rootConn is a connection to a unix socket of this very process, which may do everything.
func rootConn(f *testing.F) *conn {
	f.Helper()
	l, err := net.Listen("unix", f.TempDir()+"/s")
	if err != nil {
		f.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		f.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { client.Close(); server.Close() })
	return newLimiter(4).add(server)
}

// judge wants an answer to be what it says.
func judge(t *testing.T, r *http.Request, a *http.Response) {
	t.Helper()
	body, err := io.ReadAll(a.Body)
	if err != nil || len(body) > mostAnswer {
		t.Fatalf("%s %q: %d bytes, %v", r.Method, r.URL, len(body), err)
	}
	for name, values := range a.Header {
		if strings.ContainsAny(name+strings.Join(values, ""), "\r\n\x00") {
			t.Fatalf("%s %q: header %q: %q", r.Method, r.URL, name, values)
		}
	}
	if a.StatusCode < 200 || a.StatusCode == http.StatusInternalServerError || a.StatusCode > 599 {
		t.Fatalf("%s %q: status %d with %q", r.Method, r.URL, a.StatusCode, body)
	}
	if a.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if body, err = io.ReadAll(io.LimitReader(z, 16*mostAnswer)); err != nil {
			t.Fatal(err)
		}
	}
	switch kind := a.Header.Get("Content-Type"); {
	case len(body) == 0:
	case kind == "application/json":
		if !json.Valid(body) {
			t.Fatalf("%s %q: no JSON: %q", r.Method, r.URL, body)
		}
		if a.StatusCode >= http.StatusBadRequest {
			var p Problem
			if json.Unmarshal(body, &p) != nil || p.Error == "" {
				t.Fatalf("%s %q: no problem: %q", r.Method, r.URL, body)
			}
		}
	case strings.HasPrefix(kind, "text/plain; version=0.0.4"):
		parser := expfmt.NewTextParser(model.UTF8Validation)
		if _, err := parser.TextToMetricFamilies(bytes.NewReader(body)); err != nil {
			t.Fatalf("no metrics: %v", err)
		}
	}
}
