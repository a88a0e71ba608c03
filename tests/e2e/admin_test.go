package e2e

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"

	"tcp-proxy/tests/harness"
)

// As it is installed, the service can be asked and told, by root and by members of its group; others are told why not.
func TestAdminAsInstalled(t *testing.T) {
	onEach(t, func(m *machine) {
		m.target("127.0.0.1:5101", "example")
		m.install("")
		m.reaches("127.0.0.1:5001", "example")
		if mode := m.run("stat", "-c", "%a %U %G", "/run/tcp-proxy/admin.sock"); mode != "660 tcp-proxy tcp-proxy\n" {
			m.Errorf("the socket is %s", mode)
		}
		status := m.run("tcp-proxy", "status")
		for _, want := range []string{"tcp-proxy 1.0.0", "serving", "\nexample ", "127.0.0.1:5101", "alive"} {
			if !strings.Contains(status, want) {
				m.Errorf("the status does not say %q:\n%s", want, status)
			}
		}
		drained := func() bool {
			return strings.Contains(m.run("systemctl", "status", "--no-pager", "tcp-proxy"), `Status: "draining, reports not ready; 1 app, 1 port, 1/1 target alive, `)
		}
		group := strings.Split(m.run("getent", "group", "tcp-proxy"), ":")[2]
		for _, line := range []string{"drain example 127.0.0.1:5101", "undrain example 127.0.0.1:5101", "drain", "undrain", "reload", "status"} {
			command := append([]string{"tcp-proxy"}, strings.Fields(line)...)
			operator := []string{"setpriv", "--reuid", "4321", "--regid", "4321", "--groups", group}
			m.run(append(operator, command...)...)
			switch line {
			case "drain":
				harness.Eventually(m, "systemctl status shows that the node drains", drained)
			case "undrain":
				harness.Eventually(m, "systemctl status no longer shows it", func() bool { return !drained() })
			}
			guest := []string{"setpriv", "--reuid", "4322", "--regid", "4322", "--clear-groups"}
			_, errs, code := m.try(append(guest, command...)...)
			if code != 1 || !strings.Contains(errs, "only root and the group tcp-proxy may use it") {
				m.Errorf("tcp-proxy %s by anybody: exit code %d, %s", line, code, errs)
			}
		}
		var entries []map[string]any
		for line := range strings.Lines(m.run("journalctl", "-u", "tcp-proxy", "-o", "json", "--no-pager")) {
			var entry map[string]any
			m.must(json.Unmarshal([]byte(line), &entry))
			entries = append(entries, entry)
		}
		told := 0
		for _, e := range entries {
			if text, _ := e["MESSAGE"].(string); strings.HasPrefix(text, "admin: POST /api/v1/") {
				told++
			}
		}
		if told != 5 {
			m.Errorf("the journal has %d orders, want 5", told)
		}

		m.write("/etc/tcp-proxy/config.json", `{"admin": {"listen": ["unix:/run/tcp-proxy/admin.sock"]}, "apps": [{"ports": [0]}]}`)
		_, errs, code := m.try("tcp-proxy", "reload")
		if code != 78 || !strings.Contains(errs, "/etc/tcp-proxy/config.json:1:") {
			m.Errorf("the reload of a bad configuration: exit code %d, %s", code, errs)
		}
		if status := m.run("tcp-proxy", "status"); !strings.Contains(status, "The last reload was refused") {
			m.Errorf("the status does not tell:\n%s", status)
		}
		for _, file := range []string{"tcp-proxy.rules.yml", "grafana-dashboard.json", "schema.json"} {
			if !m.exists("/usr/share/tcp-proxy/" + file) {
				m.Errorf("%s is not installed", file)
			}
		}
		m.run("systemctl", "stop", "tcp-proxy")
		if _, errs, code := m.try("tcp-proxy", "status"); code != 1 || !strings.HasPrefix(errs, "tcp-proxy is not running") {
			m.Errorf("the status of a stopped service: exit code %d, %s", code, errs)
		}
	})
}

// A TCP address works in the sandbox as well, and the socket of a killed service is in nobody's way.
func TestAdminAfterAKill(t *testing.T) {
	onEach(t, func(m *machine) {
		m.target("127.0.0.1:5101", "a")
		m.install(`{"admin": {"listen": ["unix:/run/tcp-proxy/admin.sock", "127.0.0.1:9901"]},
			"apps": [{"name": "web", "ports": ["127.0.0.1:5001"], "targets": ["127.0.0.1:5101"]}]}`)
		before := m.property("tcp-proxy.service", "MainPID")
		m.run("kill", "-KILL", before)
		harness.Eventually(m, "another process is ready", func() bool {
			now := m.property("tcp-proxy.service", "MainPID")
			return now != before && now != "0" && m.property("tcp-proxy.service", "ActiveState") == "active"
		})
		m.reaches("127.0.0.1:5001", "a")
		for path, code := range map[string]int{"/readyz": http.StatusOK, "/metrics": http.StatusOK, "/nowhere": http.StatusNotFound} {
			conn, err := m.dial("127.0.0.1:9901")
			m.must(err)
			client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}}
			response, err := client.Get("http://127.0.0.1:9901" + path)
			m.must(err)
			response.Body.Close()
			if response.StatusCode != code {
				m.Errorf("%s: code %d", path, response.StatusCode)
			}
		}
		m.run("tcp-proxy", "status", "--json")
	})
}
