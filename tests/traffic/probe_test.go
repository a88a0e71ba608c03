package traffic

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"tcp-proxy/tests/harness"
)

// nginx, which logs at the level info each connection that a client ends early or resets, finds nothing to say about
// checks that pass, of any kind.
func TestNginxHasNoErrorsFromChecks(t *testing.T) {
	files := map[string][]byte{"health": []byte("well\n"), "large": harness.Bytes(7, 900_000)}
	for name, probe := range map[string]harness.Probe{
		"connect":         {},
		"http":            {HTTP: &harness.HTTPProbe{Path: "/health", Status: "200"}},
		"http, large":     {HTTP: &harness.HTTPProbe{Path: "/large", Status: "200-299"}, Interval: "300ms"},
		"send and expect": {Send: "GET /health HTTP/1.0\r\n\r\n", Expect: "HTTP/1.1 200"},
		"keep-alive":      {Send: "GET /large HTTP/1.1\r\nHost: x\r\n\r\n", Expect: "HTTP/1.1 200", Interval: "300ms"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := harness.New(t, "loop")
			errors, access := r.Path("errors.log"), r.Path("access.log")
			address := nginxLogging(t, r, files, fmt.Sprintf("error_log %s info; log_format short '$status $body_bytes_sent $request_completion'; access_log %s short;", errors, access))
			probe.When = "always"
			if probe.Interval == "" {
				probe.Interval = "20ms"
			}
			p := r.StartApp(harness.App{Targets: []any{address}, Probe: &probe})
			if name == "connect" {
				p.Settle()
			} else { // and what is asked for below has ended: it is logged at its end
				harness.Eventually(t, "nginx has answered ten checks", func() bool { return strings.Count(read(t, access), "\n") >= 10 })
			}
			for _, line := range strings.Split(strings.TrimSpace(read(t, access)), "\n") {
				if line != "" && !strings.HasSuffix(line, " OK") {
					t.Errorf("an answer was not completed: %s", line)
				}
			}
			for _, line := range strings.Split(strings.TrimSpace(read(t, errors)), "\n") {
				if line != "" && !strings.Contains(line, "[notice]") && !strings.Contains(line, "closed keepalive connection") {
					t.Errorf("nginx: %s", line)
				}
			}
			if n := p.Log.Count(harness.Warning("target is dead")); n > 0 {
				t.Errorf("%d times dead", n)
			}
		})
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
