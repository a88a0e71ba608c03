package view

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tcp-proxy/internal/proxy"
	"tcp-proxy/internal/upstream"
)

var update = flag.Bool("update", false, "write the golden files")

var (
	began = time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
	now   = began.Add(3*time.Hour + 12*time.Minute)
)

// healthy is a proxy with nothing to complain of.
func healthy() *proxy.Snapshot {
	return &proxy.Snapshot{
		Version: proxy.SnapshotVersion, Hostname: "lb1", Taken: now, Started: began, State: proxy.Serving, Engine: "loop",
		Workers: proxy.Workers{Busy: 104, Max: 1000},
		Reloads: proxy.Reloads{Succeeded: 3, LastSuccess: now.Add(-5 * time.Minute)},
		Names:   []proxy.Name{{Name: "web.internal:80", Addresses: []string{"10.0.0.3"}}},
		Apps: []proxy.App{
			{
				Name: "web", Balance: "round_robin", Active: 103, Upload: 5e9, Download: 70e9,
				Ended: map[string]uint64{"client_closed": 40000, "target_closed": 30000},
				Ports: []proxy.Port{{Name: "5001"}, {Name: "127.0.0.1:5300"}, {Name: "[::1]:5400"}, {Name: "unix:/run/tcp-proxy/web.sock"}},
				Targets: []proxy.Target{
					{Name: "10.0.0.1:80", State: upstream.Alive, Since: began, Active: 52, Sessions: 36000, Connect: 0.0012, Weight: 3, Upload: 4e9, Download: 60e9, Failures: map[string]uint64{"refused": 3, "timeout": 1}},
					{Name: "10.0.0.2:80", State: upstream.Alive, Since: now.Add(-40 * time.Second), Active: 51, Sessions: 34103, Connect: 0.0009, MaxSessions: 100, Weight: 1, Upload: 1e9, Download: 10e9},
					{Name: "web.internal:80/10.0.0.3:80", State: upstream.Alive, Untested: true, Since: began, Backup: true, Weight: 1},
				},
			},
			{
				Name: "db", Balance: "first", Active: 1, Ended: map[string]uint64{},
				Ports:   []proxy.Port{{Name: "127.0.0.1:5432"}},
				Targets: []proxy.Target{{Name: "unix:/run/postgresql/.s.PGSQL.5432", State: upstream.Alive, Since: began, Active: 1, Sessions: 1, Connect: 0.00005, Weight: 1, Upload: 999, Download: 1234}},
			},
		},
	}
}

// earlier is the healthy one two seconds before.
func earlier() *proxy.Snapshot {
	s := healthy()
	s.Taken = now.Add(-2 * time.Second)
	s.Apps[0].Ended["client_closed"] -= 24
	s.Apps[0].Upload -= 3e6
	s.Apps[0].Download -= 2.5e9
	s.Apps[0].Targets[0].Sessions -= 20
	s.Apps[0].Targets[1].Sessions -= 4
	return s
}

// troubled is one in which everything is wrong that can be.
func troubled() *proxy.Snapshot {
	s := healthy()
	s.State = proxy.Draining
	s.Reloads.Problem = "/etc/tcp-proxy/config.json:12:18: apps[0].ports[1]: \"127.0.0.1:500l\" is not a port: it can be 5001, \"5200-5210\" or \"127.0.0.1:5300\"\n" +
		"/etc/tcp-proxy/config.json:14:3: apps[0].tragets: unknown key: did you mean \"targets\"?"
	s.Names[0].Problem, s.Names[0].Since = "lookup web.internal on 10.0.0.53:53: server misbehaving", now.Add(-95*time.Second)
	s.Names = append(s.Names, proxy.Name{Name: "srv:_db._tcp.internal", Problem: "no such host", Since: began},
		proxy.Name{Name: "part.internal:80", Addresses: []string{"10.0.0.5"}, Partial: true, Problem: "no IPv6", Since: now.Add(-time.Minute)},
		proxy.Name{Name: "sink.internal:80", Partial: true, Problem: "0.0.0.0:80 cannot be a target", Since: now.Add(-time.Minute)},
		proxy.Name{Name: "new.internal:80"},
		proxy.Name{Name: "late.internal:80", Addresses: []string{"10.0.0.4"}, Overdue: 432})
	s.Shortages = []proxy.Shortage{
		{Kind: "connect", App: "web", Problem: "socket: too many open files", Since: now.Add(-95 * time.Second), Last: now},
		{Kind: "session", App: "db", Problem: "epoll_ctl: no space left on device", Since: now.Add(-5 * time.Second), Last: now},
		{Kind: "pipe", Problem: "pipe2: too many open files", Since: now.Add(-2 * time.Second), Last: now},
	}
	web := &s.Apps[0]
	web.Limits = &proxy.Limits{MaxSessions: 1000, MaxSessionsPerSource: 20, SessionsPerSecond: 500, SessionsPerSecondPerSource: 5,
		BytesPerSecond: &proxy.BytesPerSecond{Upload: 1000000, Download: 2000000}}
	web.Ports[0].Problem = "accept: too many open files"
	web.Refused = map[string]uint64{"denied": 12, "max_sessions_per_source": 3456, "sessions_per_second": 0}
	web.Targets[0].State, web.Targets[0].Since, web.Targets[0].Active = upstream.Dead, now.Add(-250*time.Second), 0
	web.Targets[0].Reason, web.Targets[0].Retry = "connect: connection refused", 3.2
	web.Targets[1].State, web.Targets[1].Since = upstream.Draining, now.Add(-26*time.Hour)
	web.Targets[1].Reason = "an operator drains it"
	web.Targets[1].EarlyCloses = 1234
	web.Targets[2].State, web.Targets[2].Since = upstream.Down, now.Add(-130*24*time.Hour)
	web.Targets[2].Reason = "the configuration has it down"
	s.Events = []proxy.Event{
		{Number: 1, Time: began, Kind: proxy.EventStarted, Text: "too old to be shown"},
		{Number: 2, Time: began, Kind: proxy.EventStarted, Text: "accepting on every port"},
		{Number: 3, Time: now.Add(-26 * time.Hour), Kind: proxy.EventTargetDrained, App: "web", Target: "10.0.0.2:80", Text: "target is draining"},
		{Number: 4, Time: now.Add(-250 * time.Second), Kind: proxy.EventTargetDead, App: "web", Target: "10.0.0.1:80", Text: "target is dead", Reason: "connect: connection refused"},
		{Number: 5, Time: now.Add(-20 * time.Second), Kind: proxy.EventAcceptFailing, App: "db", Port: "5001", Text: "accept failed; retrying with back-off", Reason: "accept: too many open files"},
		{Number: 6, Time: now, Kind: proxy.EventReloadRefused, Text: "reload refused", Reason: s.Reloads.Problem},
	}
	return s
}

// wide is one with long names and large numbers.
func wide() *proxy.Snapshot {
	s := healthy()
	s.Hostname = strings.Repeat("a-very-long-host-name.", 10) + "internal"
	s.Workers = proxy.Workers{Busy: 1000000, Max: 1000000}
	web := &s.Apps[0]
	web.Name = strings.Repeat("very-long-name-", 4) + "end"
	web.Active = 999999
	for i := range 40 {
		web.Ports = append(web.Ports, proxy.Port{Name: fmt.Sprintf("127.0.0.1:%d", 10000+i+i/20)}, proxy.Port{Name: fmt.Sprintf("[::1]:%d", 10000+10*i)})
	}
	web.Targets[2].Name = "backend-with-a-long-name.namespace.svc.cluster.internal:8443/[2001:db8:1234:5678::9abc]:8443"
	web.Targets[1].Active, web.Targets[1].MaxSessions = 99999, 100000
	web.Targets[0].Name = "unix:/run/\x1b[31mevil\n.sock"
	web.Targets[0].Active = 1000000
	web.Targets[0].Sessions, web.Targets[0].Upload, web.Targets[0].Download = 1<<40, 1<<62, 1<<62
	return s
}

func TestText(t *testing.T) {
	for name, c := range map[string]struct {
		s *proxy.Snapshot
		o Options
	}{
		"healthy":          {healthy(), Options{Program: "1.2.3", Width: 80, Before: earlier()}},
		"healthy-first":    {healthy(), Options{Program: "1.2.3", Width: 80}},
		"healthy-colour":   {healthy(), Options{Program: "1.2.3", Width: 80, Colour: true, Before: earlier()}},
		"healthy-118":      {healthy(), Options{Program: "1.2.3", Width: 118, Before: earlier()}},
		"healthy-60":       {healthy(), Options{Program: "0.0.0+33.cefcdc42d28e", Width: 60, Before: earlier()}},
		"one-app":          {troubled(), Options{Width: 80, Apps: []string{"db"}}},
		"troubled":         {troubled(), Options{Program: "1.2.3", Width: 80}},
		"troubled-colour":  {troubled(), Options{Program: "1.2.3", Width: 80, Colour: true}},
		"troubled-not-cut": {troubled(), Options{Program: "1.2.3"}},
		"wide":             {wide(), Options{Program: "1.2.3", Width: 80}},
		"wide-120":         {wide(), Options{Program: "1.2.3", Width: 120}},
		"wide-not-cut":     {wide(), Options{Program: "1.2.3"}},
		"starting":         {&proxy.Snapshot{Taken: now, State: proxy.Starting, Engine: "copy"}, Options{Width: 80}},
	} {
		t.Run(name, func(t *testing.T) {
			got := Text(c.s, c.o)
			bare := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(got, "")
			for line := range strings.Lines(bare) {
				if line = strings.TrimSuffix(line, "\n"); c.o.Width > 0 && length(line) > c.o.Width {
					t.Errorf("%d columns: %s", length(line), line)
				}
			}
			if strings.Contains(bare, "\x1b") || !c.o.Colour && got != bare {
				t.Error("there are escapes that a terminal would act on")
			}
			file := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// A proxy that was restarted in between, or an app that is new, has no rates yet.
func TestRatesThatAreNotKnown(t *testing.T) {
	restarted, fresh, same := earlier(), earlier(), healthy()
	restarted.Started = began.Add(-time.Hour)
	fresh.Apps[0].Name = "other"
	for name, before := range map[string]*proxy.Snapshot{"restarted": restarted, "fresh": fresh, "same": same} {
		if text := Text(healthy(), Options{Before: before, Apps: []string{"web"}}); !strings.Contains(text, "- new/s") || strings.Contains(text, "MB/s") {
			t.Errorf("%s: %s", name, text)
		}
	}
}

func TestFigures(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 59 * time.Second: "59s", time.Minute: "1m0s", 3599 * time.Second: "59m59s", time.Hour: "1h0m",
		24*time.Hour - 1: "23h59m", 24 * time.Hour: "1d0h", 100*24*time.Hour - 1: "99d23h", 100 * 24 * time.Hour: "100d",
	} {
		if got := span(d); got != want {
			t.Errorf("span of %v: %s, want %s", d, got, want)
		}
	}
	for s, want := range map[float64]string{
		0: "-", 1e-9: "0 µs", 0.00085: "850 µs", 0.0009996: "1.0 ms", 0.0012: "1.2 ms", 0.0999: "99.9 ms", 0.09996: "100 ms", 0.25: "250 ms", 0.9996: "1.0 s", 12.34: "12.3 s",
	} {
		if got := seconds(s); got != want {
			t.Errorf("%g seconds: %s, want %s", s, got, want)
		}
	}
	for r, want := range map[float64]string{-1: "-", 0: "0", 0.04: "0.0", 9.94: "9.9", 9.96: "10", 12345: "12345", 123456: "123 k"} {
		if got := rate(r); got != want {
			t.Errorf("rate %g: %s, want %s", r, got, want)
		}
	}
	for r, want := range map[float64]string{-1: "-", 0: "0 B/s", 999: "999 B/s", 999.6: "1.0 kB/s", 1234: "1.2 kB/s", 99.6e3: "100 kB/s", 1.25e9: "1.2 GB/s", 9e18: "9000 PB/s"} {
		if got := bytesRate(r); got != want {
			t.Errorf("%g bytes a second: %s, want %s", r, got, want)
		}
	}
	for n, want := range map[uint64]string{0: "0", 999999: "999999", 1000000: "1.0 M", 1 << 63: "9223 P"} {
		if got := total(n); got != want {
			t.Errorf("total %d: %s, want %s", n, got, want)
		}
	}
	var ports []proxy.Port
	for _, name := range strings.Fields("5001 5002 5002 5003 5005 127.0.0.1:5006 127.0.0.1:5007 [::1]:5008 unix:/a:5009 unix:/b systemd:7 systemd:7 systemd:8 65535 0") {
		ports = append(ports, proxy.Port{Name: name})
	}
	if got := strings.Join(ranges(ports), " "); got != "5001-5003 5005 127.0.0.1:5006-5007 [::1]:5008 unix:/a:5009 unix:/b systemd:7 systemd:8 65535 0" {
		t.Errorf("ports: %s", got)
	}
	ports = []proxy.Port{{Name: "5001"}, {Name: "5002", Address: "[::]:5002", Systemd: true}, {Name: "5003"},
		{Name: "127.0.0.1:5004", Address: "127.0.0.1:5004", Systemd: true}, {Name: "systemd:a", Address: "0.0.0.0:1", Systemd: true},
		{Name: "systemd:a", Address: "[::]:1", Systemd: true}, {Name: "systemd:b", Address: "unix:/b", Systemd: true}}
	if got := strings.Join(ranges(ports), " "); got != "5001 5002 (systemd: [::]:5002) 5003 127.0.0.1:5004 (systemd) systemd:a (0.0.0.0:1, [::]:1) systemd:b (unix:/b)" {
		t.Errorf("ports: %s", got)
	}
	for width, want := range map[int]string{0: "abcdefghij", 10: "abcdefghij", 9: "abcd…ghij", 6: "ab…hij", 3: "a…j"} {
		if got := cut("abcdefghij", width); got != want {
			t.Errorf("cut to %d: %s, want %s", width, got, want)
		}
	}
	if got := strings.Join(wrap("one two three-and-a-half four", 9), "|"); got != "one two|three-and|-a-half|four" {
		t.Errorf("wrapped: %s", got)
	}
}
