package e2e

import (
	"encoding/json"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"tcp-proxy/tests/harness"
)

// While journald accepts nothing (SIGSTOP), the service reloads, answers, serves and stops as at any other time. When
// journald goes on, the log says that entries were left out.
func TestTheJournalStandsStill(t *testing.T) {
	onEach(t, func(m *machine) {
		m.target("127.0.0.1:5101", "a")
		m.install(noisy(`"127.0.0.1:5001"`))
		goOn := m.stopJournal()
		m.fillJournal("127.0.0.1:5001")

		m.write("/etc/tcp-proxy/config.json", noisy(`"127.0.0.1:5001", "127.0.0.1:5002"`))
		m.run("systemctl", "reload", "tcp-proxy")
		m.reaches("127.0.0.1:5002", "a")
		m.run("tcp-proxy", "reload")
		if status := m.run("tcp-proxy", "status"); !strings.Contains(status, "5002") {
			m.Errorf("the status does not have the new port:\n%s", status)
		}
		m.expect("tcp-proxy.service", "ActiveState", "active")
		goOn()
		harness.Eventually(m, "the journal says that entries were left out", func() bool {
			return strings.Contains(m.entries("tcp-proxy", "-o", "cat"), "log entries were left out")
		})
		harness.Eventually(m, "the status has no problem of the log", func() bool { return !m.logStuck() })

		goOn = m.stopJournal()
		m.fillJournal("127.0.0.1:5002")
		m.run("systemctl", "stop", "tcp-proxy")
		m.expect("tcp-proxy.service", "ActiveState", "inactive")
		m.expect("tcp-proxy.service", "Result", "success") // and not a time-out, or a signal
		goOn()
		m.run("systemctl", "start", "tcp-proxy")
		m.reaches("127.0.0.1:5002", "a")
	})
}

// noisy gives a configuration that logs every session and has an admin socket.
func noisy(ports string) string {
	return strings.Replace(configure("loop", ports, `"127.0.0.1:5101"`), "{",
		`{"log": {"level": "debug"}, "admin": {"listen": ["unix:/run/tcp-proxy/admin.sock"]}, `, 1)
}

// stopJournal stops journald with SIGSTOP until goOn is called or the test ends.
func (m *machine) stopJournal() (goOn func()) {
	m.Helper()
	pid := m.property("systemd-journald.service", "MainPID")
	if n, err := strconv.Atoi(pid); err != nil || n <= 0 {
		m.Fatalf("the journal has the process %q", pid)
	}
	m.run("kill", "-STOP", pid)
	stopped := true
	goOn = func() {
		if stopped {
			m.run("kill", "-CONT", pid)
			stopped = false
		}
	}
	m.Cleanup(goOn)
	return goOn
}

// fillJournal makes sessions, which are logged, until the buffers of journald's sockets and the queue of the log are full.
func (m *machine) fillJournal(address string) {
	m.Helper()
	harness.Eventually(m, "the log stands still", func() bool {
		m.must(m.inNetwork(func() error {
			for range 3000 {
				conn, err := net.DialTimeout("tcp", address, harness.Timeout)
				if err != nil {
					return err
				}
				conn.SetDeadline(time.Now().Add(harness.Timeout))
				if err := talk(conn, "a"); err != nil {
					return err
				}
				conn.Close()
			}
			return nil
		}))
		return m.logStuck()
	})
}

// logStuck reports whether the status has a problem of the log.
func (m *machine) logStuck() bool {
	m.Helper()
	var status struct {
		Log struct{ Problem string }
	}
	m.must(json.Unmarshal([]byte(m.run("tcp-proxy", "status", "--json")), &status))
	return status.Log.Problem != ""
}
