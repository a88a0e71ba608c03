package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"tcp-proxy/tests/harness"
)

// An operator sets the level of the log for a while. It goes before the flag and the file, also over a reload; status and log
// say so.
func TestLogLevel(t *testing.T) {
	r := harness.New(t, "loop")
	config := harness.Config{Log: map[string]any{"level": "error", "format": "json"}, Apps: []harness.App{{Name: "web", Targets: harness.To(r.Identify("here"))}}}
	s := see(r, config, "--log-level", "info")
	level := func(arguments ...string) string {
		t.Helper()
		result := harness.Run(t, append([]string{"log-level", "--socket", s.socket}, arguments...)...)
		if result.Code != 0 || result.Stderr != "" {
			t.Fatalf("log-level %v: %+v", arguments, result)
		}
		return result.Stdout
	}
	// debugs reports whether the log has the record of a session that sends nothing, which is logged at debug. When the record
	// of a later session is there, at info, that one would be, too.
	debugs := func() bool {
		t.Helper()
		silent, loud := r.Dial(s.Address()), r.Dial(s.Address())
		if _, err := silent.Name(); err != nil {
			t.Fatal(err)
		}
		silent.CloseWrite()
		silent.ExpectEOF()
		silent.Close()
		if _, err := loud.Name(); err != nil {
			t.Fatal(err)
		}
		loud.Send([]byte("x"))
		loud.CloseWrite()
		loud.ExpectEOF()
		s.RecordOf(loud)
		return s.Log.Count(func(l harness.Line) bool { return strings.Contains(l.Raw, silent.LocalAddr().String()) }) > 0
	}
	if got := level(); got != "info, as configured\n" {
		t.Errorf("the level is %s", got)
	}
	if debugs() {
		t.Error("at the level info, there is a record at debug")
	}
	if got := level("debug"); !strings.HasPrefix(got, "debug until ") || !strings.Contains(got, ", for 10m0s; the configured level is info\n") && !strings.Contains(got, ", for 9m5") {
		t.Errorf("after a change: %s", got)
	}
	if !debugs() {
		t.Error("at the level debug, there is no record at debug")
	}
	said := fmt.Sprintf("log level is debug for 10m0s, set by uid %d; the configured level is info", os.Geteuid())
	audit := fmt.Sprintf("admin: POST /api/v1/log-level/debug from uid %d", os.Geteuid())
	for _, message := range []string{said, audit} {
		harness.Eventually(t, "the log has "+message, func() bool {
			return s.Log.Count(func(l harness.Line) bool { return l.Message == message }) == 1
		})
	}
	changed := s.config
	changed.MaxWorkers = 60
	s.Reload(changed)
	if got := level(); !strings.HasPrefix(got, "debug until ") {
		t.Errorf("after a reload: %s", got)
	}
	if text := harness.Run(t, "status", "--socket", s.socket).Stdout; !strings.Contains(text, "The log level is debug, for another ") || !strings.Contains(text, "log level is debug for 10m0s; the configured level is info: set by uid") {
		t.Errorf("the status does not say so:\n%s", text)
	}
	var status struct {
		Log struct {
			Level      string
			Configured string `json:"configured_level"`
			Until      string `json:"level_until"`
		}
	}
	if err := json.Unmarshal([]byte(s.ask(http.MethodGet, "/api/v1/status").body), &status); err != nil || status.Log.Level != "debug" || status.Log.Configured != "info" || status.Log.Until == "" {
		t.Errorf("the JSON: %+v, %v", status, err)
	}
	if got := level("--reset"); got != "info, as configured\n" {
		t.Errorf("after a reset: %s", got)
	}
	if debugs() {
		t.Error("after a reset, there is a record at debug")
	}
	if got := level("warn"); got != "warning, until it is changed or the proxy restarts; the configured level is info\n" {
		t.Errorf("without a time: %s", got)
	}
	if got := level("debug", "--for", "1s"); !strings.HasPrefix(got, "debug until ") {
		t.Errorf("for a second: %s", got)
	}
	harness.Eventually(t, "its time is over", func() bool { return level() == "info, as configured\n" })

	for _, path := range []string{"loud", "debug?for=2d", "debug?for=0s", "debug?for=25h", "debug?until=now", "debug?for=1m&for=2m", "debug?for=%zz"} {
		if a := s.ask(http.MethodPost, "/api/v1/log-level/"+path); a.code != http.StatusBadRequest || !strings.HasPrefix(a.body, `{"error":"`) {
			t.Errorf("%s: %d %s", path, a.code, a.body)
		}
	}
	if a, err := request("tcp", s.tcp, http.MethodPost, "/api/v1/log-level/debug"); err != nil || a.code != http.StatusForbidden {
		t.Errorf("over TCP: %d %s, %v", a.code, a.body, err)
	}
	if a, err := request("tcp", s.tcp, http.MethodGet, "/api/v1/log-level"); err != nil || a.body != `{"level":"info"}`+"\n" {
		t.Errorf("over TCP: %d %s, %v", a.code, a.body, err)
	}
	for arguments, want := range map[string]string{"": "trace\ndebug\ninfo\nwarning\nerror\n", "--for": "10m\n1h\n24h\n"} {
		words := append(strings.Fields("__complete log-level "+arguments), "")
		if got := harness.Run(t, words...).Stdout; !strings.HasPrefix(got, want) {
			t.Errorf("the shell is offered %s", got)
		}
	}
}
