package harness

import (
	"os"
	"strings"
	"syscall"
)

// Reload loads another configuration, whose apps have explicit ports, and waits until it is active.
func (p *Proxy) Reload(config Config) {
	p.t.Helper()
	text, err := config.encode()
	if err != nil {
		p.t.Fatal(err)
	}
	p.ReloadText(string(text), "reloaded")
	p.config = config
	p.atReady = p.countDescriptors()
}

// ReloadText replaces the text of the configuration file, requests a reload, and waits for a log entry that begins with
// want.
func (p *Proxy) ReloadText(text, want string) {
	p.t.Helper()
	if err := os.WriteFile(p.rig.Path("config.json"), []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
	entry := func(l Line) bool { return strings.HasPrefix(l.Message, want) }
	before := p.Log.Len()
	p.Hangup()
	Eventually(p.t, "the log says "+want, func() bool { return p.Log.CountAfter(before, entry) > 0 })
}

// Hangup sends SIGHUP, and waits for nothing.
func (p *Proxy) Hangup() {
	p.t.Helper()
	if err := p.command.Process.Signal(syscall.SIGHUP); err != nil {
		p.t.Fatalf("signal the proxy: %v", err)
	}
}
