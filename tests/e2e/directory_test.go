package e2e

import (
	"os"
	"strings"
	"testing"
)

// The packaged service is changed over to a configuration directory by the commands of the docs, word by word. Then an app is
// added and removed with its file, a bad file refuses a reload and an upgrade and is named, and instances can have directories.
func TestConfigurationDirectory(t *testing.T) {
	onEach(t, func(m *machine) {
		m.target("127.0.0.1:5101", "example")
		m.install("")
		m.script("sudo", `exec "$@"`)
		m.types("/root", changeOver(m))
		m.reaches("127.0.0.1:5001", "example")
		pid := m.property("tcp-proxy.service", "MainPID")

		const second = "/etc/tcp-proxy/conf.d/second.json"
		m.write(second, `{"apps": [{"name": "second", "ports": ["127.0.0.1:5002"], "targets": ["127.0.0.1:5101"]}]}`)
		m.run("systemctl", "reload", "tcp-proxy")
		m.reaches("127.0.0.1:5002", "example")
		m.run("rm", second)
		m.run("tcp-proxy", "reload") // finds the socket in conf.d
		if err := m.visit("127.0.0.1:5002", "example"); err == nil {
			m.Error("the port of an app whose file is removed takes connections")
		}

		const bad = "/etc/tcp-proxy/conf.d/bad.json"
		m.write(bad, "{\n")
		if _, _, code := m.try("systemctl", "reload", "tcp-proxy"); code == 0 {
			m.Error("a reload with a bad file does not fail")
		}
		const reason = bad + ":2:1: the file ends here"
		if text := m.property("tcp-proxy.service", "StatusText"); !strings.Contains(text, "reload refused: "+reason) {
			m.Errorf("the status is %q", text)
		}
		out, errs, _ := m.try("dpkg", "-i", m.carry(packageOf(m.T, nextVersion, "deb")))
		for _, want := range []string{reason, "tcp-proxy.service is not restarted"} {
			if !strings.Contains(out+errs, want) {
				m.Errorf("an upgrade with a bad file does not say %q:\n%s%s", want, out, errs)
			}
		}
		m.expect("tcp-proxy.service", "MainPID", pid)
		m.reaches("127.0.0.1:5001", "example")
		m.write(bad, "{}")
		m.run("dpkg", "-i", m.carry(packageOf(m.T, nextVersion, "deb")))
		m.reaches("127.0.0.1:5001", "example")
		if m.property("tcp-proxy.service", "MainPID") == pid {
			m.Error("an upgrade with a good directory does not restart the service")
		}

		m.drop("tcp-proxy@.service", "[Service]\nExecStart=\nExecStart=/usr/bin/tcp-proxy run --config-file /etc/tcp-proxy/%i.d\n")
		m.run("mkdir", "/etc/tcp-proxy/web.d")
		m.write("/etc/tcp-proxy/web.d/web.json", `{"apps": [{"name": "web", "ports": ["127.0.0.1:5003"], "targets": ["127.0.0.1:5101"]}]}`)
		m.run("systemctl", "start", "tcp-proxy@web")
		m.reaches("127.0.0.1:5003", "example")
		m.run("systemctl", "reload", "tcp-proxy@web")
	})
}

// changeOver returns the commands of the packaged docs that change the service over to a directory.
func changeOver(m *machine) string {
	m.Helper()
	page, err := os.ReadFile(m.path("/usr/share/doc/tcp-proxy/configuration.md"))
	m.must(err)
	_, text, found := strings.Cut(string(page), "move its file there, and override the command of the unit by a\ndrop-in (systemd.unit(5)):\n\n")
	commands, _, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(commands, "\n")
	for i, line := range lines {
		code, ok := strings.CutPrefix(line, "    ")
		if !found || !ok {
			m.Fatalf("configuration.md does not say how to change over: %q", line)
		}
		lines[i] = code
	}
	return strings.Join(lines, "\n")
}
