package view

import (
	"strings"
	"testing"
	"time"

	"tcp-proxy/internal/proxy"
)

// The status names a level of the log that an operator has set, and says for how much longer.
func TestLogLevel(t *testing.T) {
	now := time.Now()
	s := proxy.Snapshot{Taken: now, Log: proxy.Log{Level: "debug", Configured: "info", Until: now.Add(9*time.Minute + time.Second)}}
	for want, change := range map[string]func(){
		"\nThe log level is debug, for another 9m1s; the configured level is info.\n": func() {},
		"\nThe log level is error; the configured level is info.\n":                   func() { s.Log.Level, s.Log.Until = "error", time.Time{} },
	} {
		copied := s
		change()
		if got := Text(&s, Options{}); !strings.Contains(got, want) {
			t.Errorf("the status is %s; want %s", got, want)
		}
		s = copied
	}
	s.Log.Configured = ""
	if got := Text(&s, Options{}); strings.Contains(got, "log level") {
		t.Errorf("the status is %s", got)
	}
}
