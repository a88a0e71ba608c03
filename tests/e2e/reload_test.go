package e2e

import (
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
)

// systemctl reload waits for the outcome. If the proxy refuses the new configuration, the command fails, systemctl status has
// the reason, and the service goes on as before. The configuration needs no admin API for that.
func TestReloadWaitsForTheOutcome(t *testing.T) {
	onEach(t, func(m *machine) {
		m.target("127.0.0.1:5101", "a")
		m.install(configure("loop", `"127.0.0.1:5001"`, `"127.0.0.1:5101"`))
		pid := m.property("tcp-proxy.service", "MainPID")
		var other net.Listener
		m.must(m.inNetwork(func() (err error) {
			other, err = net.Listen("tcp", "127.0.0.1:5002")
			return err
		}))
		defer other.Close()
		const good = `{"engine": "loop", "admin": {"listen": ["unix:/run/tcp-proxy/new.sock"]}, "apps": [
			{"name": "web", "ports": ["127.0.0.1:5001", "127.0.0.1:5003"], "targets": ["127.0.0.1:5101"]}]}`
		for _, refused := range []struct{ config, reason string }{
			{configure("loop", `"127.0.0.1:5001", "127.0.0.1:5002"`, `"127.0.0.1:5101"`), "cannot listen on 127.0.0.1:5002: address already in use"},
			{configure("copy", `"127.0.0.1:5001"`, `"127.0.0.1:5101"`), "engine: "},
			{configure("loop", `"127.0.0.1:500l"`, `"127.0.0.1:5101"`), `"127.0.0.1:500l" is not a port`},
			{`{"apps": [`, "/etc/tcp-proxy/config.json:1:"},
		} {
			m.write("/etc/tcp-proxy/config.json", refused.config)
			if _, _, code := m.try("systemctl", "reload", "tcp-proxy"); code == 0 {
				m.Errorf("a refused reload (%s) does not fail", refused.reason)
			}
			status := m.run("systemctl", "status", "--no-pager", "--full", "tcp-proxy")
			line := regexp.MustCompile(`(?m)^ *Status: .*$`).FindString(status)
			if !strings.Contains(line, "reload refused: ") || !strings.Contains(line, refused.reason) {
				m.Errorf("systemctl status does not say %q:\n%s", refused.reason, status)
			}
			m.expect("tcp-proxy.service", "ActiveState", "active")
			m.reaches("127.0.0.1:5001", "a")

			m.write("/etc/tcp-proxy/config.json", good)
			m.run("systemctl", "reload", "tcp-proxy")
			if text := m.property("tcp-proxy.service", "StatusText"); strings.Contains(text, "refused") {
				m.Errorf("after a good reload the status is %q", text)
			}
			m.reaches("127.0.0.1:5003", "a")
		}
		m.expect("tcp-proxy.service", "MainPID", pid)
		if mode := m.run("stat", "-c", "%a %U %G", "/run/tcp-proxy/reload.sock"); mode != "660 tcp-proxy tcp-proxy\n" {
			m.Errorf("the reload socket is %s", mode)
		}
		m.run("systemctl", "stop", "tcp-proxy")
		if _, _, code := m.try("systemctl", "reload", "tcp-proxy"); code == 0 {
			m.Error("the reload of a stopped service does not fail")
		}
	})
}

// The commands in the comment of the socket unit work while the service runs.
func TestCommandsOfTheSocketUnit(t *testing.T) {
	onEach(t, func(m *machine) {
		m.target("127.0.0.1:5101", "example")
		m.install("")
		m.reaches("127.0.0.1:5001", "example")
		unit, err := os.ReadFile(m.path("/usr/lib/systemd/system/tcp-proxy.socket"))
		m.must(err)
		commands := regexp.MustCompile(`(?m)^# +(systemctl [^#\n]*)`).FindAllStringSubmatch(string(unit), -1)
		done := 0
		for _, command := range commands {
			words := strings.Fields(command[1])
			if words[1] == "edit" {
				continue // it needs an editor; the packaged address is that of the packaged configuration
			}
			m.run(words...)
			done++
		}
		if done != 3 {
			m.Errorf("the unit has %d commands: %v", done, commands)
		}
		m.expect("tcp-proxy.socket", "ActiveState", "active")
		m.expect("tcp-proxy.service", "ActiveState", "active")
		m.reaches("127.0.0.1:5001", "example")
		m.run("systemctl", "restart", "tcp-proxy")
		m.reaches("127.0.0.1:5001", "example")
	})
}
