package view

import (
	"strings"
	"testing"

	"tcp-proxy/internal/proxy"
)

func TestSessions(t *testing.T) {
	idle := 61.5
	list := proxy.Sessions{Open: 1200, Matching: 40, LeftOut: 38, Sessions: []proxy.Session{
		{ID: 4711, State: "established", App: "web", Port: "8080", Client: "192.0.2.7:4242", Target: "10.0.0.1:80", Age: 7300, Idle: &idle, Upload: 1500, Download: 2_100_000},
		{ID: 9, State: "waiting", App: "a-long\x1b[31m name", Port: "[::]:443", Client: "192.0.2.9:1", Peer: "unix:", Age: 0.2},
	}}
	want := `SESSION   AGE  IDLE      UP    DOWN  STATE        APP                  PORT      CLIENT                TARGET
   4711  2h1m  1m1s  1.5 kB  2.1 MB  established  web                  8080      192.0.2.7:4242        10.0.0.1:80
      9    0s     -     0 B     0 B  waiting      a-long\x1b[31m name  [::]:443  192.0.2.9:1 by unix:  -
1200 sessions open, 40 of them match; these are the 2 that have been open longest, 38 are left out
`
	if got := Sessions(&list, Options{}); got != want {
		t.Errorf("the list is\n%s\nwant\n%s", got, want)
	}
	if got := portOf(&proxy.Session{Port: "systemd:web", Address: "0.0.0.0:80"}); got != "systemd:web (0.0.0.0:80)" {
		t.Errorf("a port of systemd: %s", got)
	}
	for line := range strings.Lines(Sessions(&list, Options{Width: 40})) {
		if length(strings.TrimSuffix(line, "\n")) > 40 {
			t.Errorf("too wide: %s", line)
		}
	}
	if got := Sessions(&proxy.Sessions{Problem: "1 of 2 event loops did not answer"}, Options{}); got != "1 of 2 event loops did not answer\n0 sessions open\n" {
		t.Errorf("nothing, and a problem: %q", got)
	}
}
