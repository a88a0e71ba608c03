package view

import (
	"strings"
	"testing"
	"time"

	"tcp-proxy/internal/admin"
)

func TestConfig(t *testing.T) {
	c := admin.Config{
		File: "/etc/tcp-proxy/conf.d", ActiveSince: now, Overrides: []admin.Override{{Key: "max_workers", Value: "7"}},
		Files: []admin.ConfigFile{{File: "/etc/a.json", Text: "{ // \x1b[2J\n\t\"apps\": []\n}\n"}, {File: "/etc/b.json", Text: "{}"}},
	}
	since := now.Local().Format(time.RFC3339)
	want := "// /etc/a.json, active since " + since + "\n// The command line overrides max_workers: 7\n{ // \x1b[2J\n\t\"apps\": []\n}\n\n// /etc/b.json, active since " + since + "\n{}\n"
	if got := Config(&c, false); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := Config(&c, true); got != strings.ReplaceAll(want, "\x1b", `\x1b`) {
		t.Errorf("on a terminal: %q", got)
	}
	for onDisk, want := range map[admin.OnDisk]string{admin.OnDiskSame: "", admin.OnDiskChanged: "/etc/tcp-proxy/conf.d differs", admin.OnDiskUnknown: "takes too long"} {
		c.OnDisk = onDisk
		if got := OnDisk(&c); !strings.Contains(got, want) || (got == "") != (want == "") {
			t.Errorf("%s: %q", onDisk, got)
		}
	}
}
