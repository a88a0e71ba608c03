package commandline

import (
	"strings"
	"sync"
	"syscall"
	"testing"

	"tcp-proxy/tests/harness"
)

// oneSession runs a session in which the client sends a byte, stops the proxy and returns its log.
func oneSession(t *testing.T, log any, arguments ...string) *harness.Proxy {
	t.Helper()
	r := harness.New(t, "copy")
	p := r.StartPlain(harness.Config{Log: log, DrainTimeout: "1m", Apps: []harness.App{{Targets: harness.To(r.Echo())}}}, arguments...)
	client := p.Dial()
	client.Send([]byte("x"))
	client.Expect([]byte("x"))
	client.CloseWrite()
	client.ExpectEOF()
	p.Signal(syscall.SIGTERM)
	if code := p.Wait(); code != exitClean {
		t.Errorf("exit code %d", code)
	}
	return p
}

func TestTextLog(t *testing.T) {
	p := oneSession(t, nil, "--log-format", "text")
	text := p.Log.Text()
	if strings.Contains(text, "{") || !strings.Contains(text, "cause=client_closed") && !strings.Contains(text, "client_closed") {
		t.Errorf("log:\n%s", text)
	}
}

func TestJSONLog(t *testing.T) {
	for name, p := range map[string]*harness.Proxy{
		"flag": oneSession(t, nil, "--log-format", "json"),
		"file": oneSession(t, map[string]any{"format": "json"}),
		"both": oneSession(t, map[string]any{"format": "text"}, "--log-format=json"),
	} {
		for _, line := range p.Log.Lines(func(harness.Line) bool { return true }) {
			if line.Fields == nil || line.Level == "" || line.Message == "" || line.Fields["time"] == nil {
				t.Errorf("%s: not a JSON line with time, level and msg: %s", name, line.Raw)
			}
			if line.Level == "debug" {
				t.Errorf("%s: a debug line that nobody asked for: %s", name, line.Raw)
			}
		}
		if n := len(p.RecordsNow()); n != 1 {
			t.Errorf("%s: %d session records, want 1", name, n)
		}
	}
}

func TestLogLevel(t *testing.T) {
	p := oneSession(t, map[string]any{"level": "debug"}, "--log-format", "json", "--log-level", "warning")
	if text := p.Log.Text(); text != "" {
		t.Errorf("the flag wins over the file and asks for warnings only:\n%s", text)
	}
}

func TestNoSessionRecords(t *testing.T) {
	p := oneSession(t, map[string]any{"sessions": false, "level": "info"}, "--log-format", "json")
	if n := len(p.RecordsNow()); n != 0 {
		t.Errorf("%d session records, want none", n)
	}
	if n := p.Log.Count(harness.Ready); n != 1 {
		t.Errorf("%d ready lines, want 1", n)
	}
}

// Whoever reads the log may go away, and the proxy goes on.
func TestNobodyReadsTheLog(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		r := harness.New(t, "copy")
		p := r.StartPlain(harness.Config{Apps: []harness.App{{Targets: harness.To(r.Echo())}}}, "--log-format", format)
		p.Log.Close()
		for range 5 {
			client := p.Dial()
			client.Send([]byte("hello"))
			client.Expect([]byte("hello"))
			client.CloseWrite()
			client.ExpectEOF()
		}
		if code := p.Stop(); code != exitClean {
			t.Errorf("exit code %d", code)
		}
	}
}

// Whoever reads the log may stand still, and no session waits for it.
func TestLogStandsStill(t *testing.T) {
	r := harness.New(t, "copy")
	p := r.Start(harness.Config{Apps: []harness.App{{Targets: harness.To(r.Echo())}}})
	resume := sync.OnceFunc(p.Log.Pause())
	defer resume()
	// Many times what a pipe takes: pipe(7).
	for range 1500 {
		client := p.Dial()
		client.Send([]byte("hello"))
		client.Expect([]byte("hello"))
		client.CloseWrite()
		client.ExpectEOF()
		client.Close()
	}
	resume()
	if code := p.Stop(); code != exitClean {
		t.Errorf("exit code %d", code)
	}
}
