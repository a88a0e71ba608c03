package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/tests/harness"
)

// configure gives a configuration of one app, with the engine.
func configure(engine, ports, targets string) string {
	return fmt.Sprintf(`{"engine": %q, "apps": [{"name": "web", "ports": [%s], "targets": [%s], "retry_dead_after": "1s"}]}`, engine, ports, targets)
}

// drop writes a drop-in for a unit and has systemd read it.
func (m *machine) drop(unit, text string) {
	m.Helper()
	m.write("/etc/systemd/system/"+unit+".d/test.conf", text)
	m.run("systemctl", "daemon-reload")
}

// The service is an unprivileged user, listens on a privileged port and on a unix socket all the same, and has no right
// beyond that.
func TestPrivileges(t *testing.T) {
	onEach(t, func(m *machine) {
		m.target("127.0.0.1:5101", "a")
		m.install(configure("copy", `"127.0.0.1:443", "[::1]:80", "unix:/run/tcp-proxy/web.sock"`, `"127.0.0.1:5101"`))
		for _, address := range []string{"127.0.0.1:443", "[::1]:80", "/run/tcp-proxy/web.sock"} {
			m.reaches(address, "a")
		}
		pid := m.property("tcp-proxy.service", "MainPID")
		status := m.run("cat", "/proc/"+pid+"/status")
		const bindOnly = "0000000000000400" // 1 << CAP_NET_BIND_SERVICE
		for _, set := range []string{"CapPrm", "CapEff", "CapBnd", "CapAmb"} {
			if !strings.Contains(status, set+":\t"+bindOnly+"\n") {
				m.Errorf("%s is not CAP_NET_BIND_SERVICE alone:\n%s", set, status)
			}
		}
		uid := strings.TrimSpace(m.run("id", "-u", "tcp-proxy"))
		if uid == "0" || !strings.Contains(status, fmt.Sprintf("Uid:\t%s\t%s\t%s\t%s\n", uid, uid, uid, uid)) {
			m.Errorf("the process is not user %s:\n%s", uid, status)
		}
	})
}

// The units are in good form, and as closed as they claim.
func TestUnits(t *testing.T) {
	onEach(t, func(m *machine) {
		m.install("")
		for _, unit := range []string{"tcp-proxy.service", "tcp-proxy.socket", "tcp-proxy@web.service", "tcp-proxy@web.socket"} {
			if out, errs, code := m.try("systemd-analyze", "verify", "--man=no", unit); code != 0 || out+errs != "" {
				m.Errorf("systemd-analyze verify %s: exit code %d\n%s%s", unit, code, out, errs)
			}
		}
		for _, unit := range []string{"tcp-proxy.service", "tcp-proxy@web.service"} {
			if _, _, code := m.try("systemd-analyze", "security", "--no-pager", "--threshold=15", unit); code != 0 {
				m.Errorf("%s is exposed to more than 1.5:\n%s", unit, m.run("systemd-analyze", "security", "--no-pager", unit))
			}
		}
	})
}

// While somebody else has the port, the service is not ready, says why, and tries again; when it is free, it starts.
func TestPortInUse(t *testing.T) {
	onEach(t, func(m *machine) {
		m.target("127.0.0.1:5101", "a")
		m.install("")
		m.run("systemctl", "stop", "tcp-proxy")
		m.write("/etc/tcp-proxy/config.json", configure("copy", `"127.0.0.1:5001", "127.0.0.1:5002"`, `"127.0.0.1:5101"`))
		var other net.Listener
		m.must(m.inNetwork(func() (err error) {
			other, err = net.Listen("tcp", "127.0.0.1:5002")
			return err
		}))
		if _, _, code := m.try("systemctl", "start", "tcp-proxy"); code == 0 {
			m.Error("the start does not fail")
		}
		harness.Eventually(m, "the service is tried again", func() bool {
			n, _ := strconv.Atoi(m.property("tcp-proxy.service", "NRestarts"))
			return n >= 2
		})
		journal := m.entries("tcp-proxy", "-x", "-p", "err")
		for _, want := range []string{`app "web" cannot listen on 127.0.0.1:5002: address already in use`, "Subject: A port is in use"} {
			if !strings.Contains(journal, want) {
				m.Errorf("the journal does not say %q:\n%s", want, journal)
			}
		}
		other.Close()
		harness.Eventually(m, "the service starts when the port is free", func() bool {
			return m.property("tcp-proxy.service", "ActiveState") == "active"
		})
		m.reaches("127.0.0.1:5001", "a")
		m.reaches("127.0.0.1:5002", "a")
	})
}

// A bad configuration keeps the service from starting, once, and tells why; a reload of one changes nothing.
func TestBadConfiguration(t *testing.T) {
	onEach(t, func(m *machine) {
		m.target("127.0.0.1:5101", "a")
		good := configure("copy", `"127.0.0.1:5001"`, `"127.0.0.1:5101"`)
		bad := configure("copy", `"127.0.0.1:500l"`, `"127.0.0.1:5101"`)
		const says = `"127.0.0.1:500l" is not a port`
		m.install(good)

		m.write("/etc/tcp-proxy/config.json", bad)
		if _, _, code := m.try("systemctl", "reload", "tcp-proxy"); code == 0 {
			m.Error("the reload of a bad configuration does not fail")
		}
		m.reaches("127.0.0.1:5001", "a")
		harness.Eventually(m, "the status says that the reload was refused", func() bool {
			return strings.Contains(m.property("tcp-proxy.service", "StatusText"), "reload refused: ") &&
				strings.Contains(m.property("tcp-proxy.service", "StatusText"), says)
		})
		if journal := m.entries("tcp-proxy", "-x"); !strings.Contains(journal, "Subject: The new configuration was refused") {
			m.Errorf("the refusal is not explained:\n%s", journal)
		}
		m.write("/etc/tcp-proxy/config.json", good)
		m.run("systemctl", "reload", "tcp-proxy")
		harness.Eventually(m, "the status is good again", func() bool {
			return !strings.Contains(m.property("tcp-proxy.service", "StatusText"), "refused")
		})

		m.write("/etc/tcp-proxy/config.json", bad)
		if _, _, code := m.try("systemctl", "restart", "tcp-proxy"); code == 0 {
			m.Error("the start with a bad configuration does not fail")
		}
		var status string
		harness.Eventually(m, "the status says what is wrong", func() bool { // the journal may be a little behind
			status, _, _ = m.try("systemctl", "status", "--no-pager", "--full", "tcp-proxy")
			return strings.Contains(status, says) && strings.Contains(status, "status=78/CONFIG")
		}, func() any { return status })
		time.Sleep(1500 * time.Millisecond) // longer than RestartSec=: nothing is to happen
		m.expect("tcp-proxy.service", "ActiveState", "failed")
		m.expect("tcp-proxy.service", "NRestarts", "0")

		// With a socket, too, the starts come to an end.
		m.run("systemctl", "start", "tcp-proxy.socket")
		conn, err := m.dial("127.0.0.1:5001")
		m.must(err)
		defer conn.Close()
		harness.Eventually(m, "the socket gives up", func() bool {
			return m.property("tcp-proxy.socket", "Result") == "trigger-limit-hit"
		})
	})
}

// A reload takes ports away and adds others, refuses nobody, and leaves sessions alone.
func TestReload(t *testing.T) {
	onEach(t, func(m *machine) {
		m.target("127.0.0.1:5101", "a")
		m.target("127.0.0.1:5102", "b")
		m.install(configure("copy", `"127.0.0.1:5001", "127.0.0.1:5002"`, `"127.0.0.1:5101"`))
		pid := m.property("tcp-proxy.service", "MainPID")
		open, err := m.dial("127.0.0.1:5002")
		m.must(err)
		client := m.connectInALoop("127.0.0.1:5001", "a")
		for i := range 5 {
			m.write("/etc/tcp-proxy/config.json", configure("copy", fmt.Sprintf(`"127.0.0.1:5001", "127.0.0.1:%d"`, 5010+i), `"127.0.0.1:5101"`))
			m.run("systemctl", "reload", "tcp-proxy")
			m.reaches(fmt.Sprintf("127.0.0.1:%d", 5010+i), "a")
		}
		client.end(m)
		m.check(talk(open, "a"))
		open.Close()
		m.expect("tcp-proxy.service", "MainPID", pid)
		m.expect("tcp-proxy.service", "ActiveState", "active")
		if err := m.visit("127.0.0.1:5002", "a"); err == nil {
			m.Error("the old port still takes connections")
		}
	})
}

// A process that hangs is killed by the watchdog and started again, and its goroutines are in the journal.
func TestWatchdog(t *testing.T) {
	onEach(t, func(m *machine) {
		m.target("127.0.0.1:5101", "example")
		m.install("")
		m.drop("tcp-proxy.service", "[Service]\nWatchdogSec=2s\n")
		m.run("systemctl", "restart", "tcp-proxy")
		before := m.property("tcp-proxy.service", "MainPID")
		time.Sleep(3 * time.Second) // longer than the watchdog waits: a process that does not hang lives on
		m.expect("tcp-proxy.service", "MainPID", before)

		m.run("kill", "-STOP", before)
		harness.Eventually(m, "another process is ready", func() bool {
			now := m.property("tcp-proxy.service", "MainPID")
			return now != before && now != "0" && m.property("tcp-proxy.service", "ActiveState") == "active"
		})
		m.reaches("127.0.0.1:5001", "example")
		journal := m.entries("tcp-proxy")
		for _, want := range []string{"Watchdog timeout", "SIGABRT: abort", "goroutine "} {
			if !strings.Contains(journal, want) {
				m.Errorf("the journal does not have %q", want)
			}
		}
	})
}

// A stop that waits for sessions takes longer than TimeoutStopSec= allows, as drain_timeout asks for.
func TestStopThatDrains(t *testing.T) {
	onEach(t, func(m *machine) {
		m.target("127.0.0.1:5101", "a")
		m.install(`{"drain_timeout": "30s", "apps": [{"ports": ["127.0.0.1:5001"], "targets": ["127.0.0.1:5101"]}]}`)
		m.drop("tcp-proxy.service", "[Service]\nTimeoutStopSec=1s\n")
		open, err := m.dial("127.0.0.1:5001")
		m.must(err)
		defer open.Close()
		m.run("systemctl", "stop", "--no-block", "tcp-proxy")
		harness.Eventually(m, "the status says what it waits for", func() bool {
			return m.property("tcp-proxy.service", "StatusText") == "stopping; open sessions: 1"
		})
		time.Sleep(2 * time.Second) // longer than TimeoutStopSec=
		m.check(talk(open, "a"))
		harness.Eventually(m, "the service has stopped", func() bool {
			return m.property("tcp-proxy.service", "ActiveState") == "inactive"
		})
		m.expect("tcp-proxy.service", "Result", "success")
	})
}

// The first connection to a socket of systemd starts the service; from then on, restarts refuse nobody. Sockets are
// matched by address and by name.
func TestSocketActivation(t *testing.T) {
	t.Parallel()
	for _, engine := range harness.Engines {
		t.Run(engine, func(t *testing.T) {
			onEach(t, func(m *machine) {
				m.target("127.0.0.1:5101", "a")
				m.install("")
				m.run("systemctl", "stop", "tcp-proxy")
				m.write("/etc/tcp-proxy/config.json", strings.Replace(
					configure(engine, `"127.0.0.1:80", "[::1]:81", "unix:/run/web.sock", "systemd:named", "127.0.0.1:5001"`, `"127.0.0.1:5101"`),
					"{", `{"admin": {"listen": ["unix:/run/tcp-proxy/admin.sock"]}, `, 1))
				m.drop("tcp-proxy.socket", "[Socket]\nListenStream=\nListenStream=127.0.0.1:80\nListenStream=[::1]:81\nListenStream=/run/web.sock\n")
				m.write("/etc/systemd/system/other.socket",
					"[Socket]\nListenStream=127.0.0.1:82\nListenStream=[::1]:82\nFileDescriptorName=named\nService=tcp-proxy.service\n")
				m.drop("tcp-proxy.service", "[Service]\nSockets=tcp-proxy.socket other.socket\n")
				m.run("systemctl", "start", "tcp-proxy.socket", "other.socket")
				m.expect("tcp-proxy.service", "ActiveState", "inactive")
				m.reaches("127.0.0.1:80", "a")
				m.becomes("tcp-proxy.service", "ActiveState", "active")
				addresses := []string{"127.0.0.1:80", "[::1]:81", "/run/web.sock", "127.0.0.1:82", "[::1]:82"}
				for _, address := range append(addresses, "127.0.0.1:5001") {
					m.reaches(address, "a")
				}
				status := m.run("tcp-proxy", "status")
				const want = "  ports 127.0.0.1:80 (systemd), [::1]:81 (systemd), unix:/run/web.sock (systemd), systemd:named (127.0.0.1:82, [::1]:82), 127.0.0.1:5001\n"
				if !strings.Contains(status, want) {
					m.Errorf("the status does not show %q:\n%s", want, status)
				}
				clients := make([]*loop, len(addresses))
				// An open session would be cut by a restart, so each client comes through an app that lets it finish.
				m.write("/etc/tcp-proxy/config.json", strings.Replace(
					configure(engine, `"127.0.0.1:80", "[::1]:81", "unix:/run/web.sock", "systemd:named"`, `"127.0.0.1:5101"`),
					"{", `{"drain_timeout": "10s", `, 1))
				m.run("systemctl", "restart", "tcp-proxy")
				for i, address := range addresses {
					clients[i] = m.connectInALoop(address, "a")
				}
				for range 10 {
					m.run("systemctl", "restart", "tcp-proxy")
				}
				for _, client := range clients {
					client.end(m)
				}
				if !m.exists("/run/web.sock") {
					m.Error("the unix socket is gone")
				}
			})
		})
	}
}

// A socket that is not a listening stream socket is an error that names it, and is not tried again.
func TestSocketOfTheWrongType(t *testing.T) {
	onEach(t, func(m *machine) {
		m.install("")
		m.run("systemctl", "stop", "tcp-proxy")
		m.drop("tcp-proxy.socket", "[Socket]\nListenDatagram=127.0.0.1:53\n")
		m.run("systemctl", "start", "tcp-proxy.socket")
		if _, _, code := m.try("systemctl", "start", "tcp-proxy"); code == 0 {
			m.Error("the service starts")
		}
		m.expect("tcp-proxy.service", "ExecMainStatus", "78")
		m.expect("tcp-proxy.service", "NRestarts", "0")
		want := `descriptor 4, named "tcp-proxy", is a datagram socket`
		if journal := m.entries("tcp-proxy"); !strings.Contains(journal, want) {
			m.Errorf("the journal does not say %q:\n%s", want, journal)
		}
	})
}

// Instances have files of their own, and sockets.
func TestInstances(t *testing.T) {
	onEach(t, func(m *machine) {
		m.target("127.0.0.1:5101", "a")
		m.target("127.0.0.1:5102", "b")
		m.install("")
		m.write("/etc/tcp-proxy/one.json", configure("copy", `"127.0.0.1:6001", "unix:/run/tcp-proxy-one/one.sock"`, `"127.0.0.1:5101"`))
		m.write("/etc/tcp-proxy/two.json", configure("copy", `"systemd:two"`, `"127.0.0.1:5102"`))
		m.run("systemctl", "enable", "--now", "tcp-proxy@one.service")
		m.run("systemctl", "enable", "--now", "tcp-proxy@two.socket")
		m.reaches("127.0.0.1:6001", "a")
		m.reaches("/run/tcp-proxy-one/one.sock", "a")
		m.expect("tcp-proxy@two.service", "ActiveState", "inactive")
		m.reaches("/run/tcp-proxy-two.sock", "b")
		m.becomes("tcp-proxy@two.service", "ActiveState", "active")
		m.write("/etc/tcp-proxy/one.json", configure("copy", `"127.0.0.1:6001", "127.0.0.1:6002"`, `"127.0.0.1:5101"`))
		m.run("systemctl", "reload", "tcp-proxy@one.service")
		m.reaches("127.0.0.1:6002", "a")
		m.run("systemctl", "stop", "tcp-proxy@one.service")
		m.reaches("/run/tcp-proxy-two.sock", "b")
		m.expect("tcp-proxy.service", "ActiveState", "active")
	})
}

// entry is an entry of the journal, as journalctl -o json prints it.
type entry map[string]any

// find gives the entries of the unit whose message matches.
func (m *machine) find(unit, message string) []entry {
	m.Helper()
	var found []entry
	for line := range strings.Lines(m.entries(unit, "-o", "json")) {
		var e entry
		decoder := json.NewDecoder(bytes.NewBufferString(line))
		if err := decoder.Decode(&e); err != nil {
			m.Fatalf("%v: %s", err, line)
		}
		if text, _ := e["MESSAGE"].(string); regexp.MustCompile(message).MatchString(text) {
			found = append(found, e)
		}
	}
	return found
}

// A session's record has its fields in the journal, and what happens to a target its message ID.
func TestJournal(t *testing.T) {
	onEach(t, func(m *machine) {
		m.install(configure("copy", `"127.0.0.1:5001"`, `"127.0.0.1:5101", {"address": "127.0.0.1:5102", "backup": true}`))
		m.target("127.0.0.1:5102", "b")
		conn, err := m.dial("127.0.0.1:5001")
		m.must(err)
		client := conn.LocalAddr().String()
		m.check(talk(conn, "b"))
		conn.Close()
		harness.Eventually(m, "the session is in the journal", func() bool { return len(m.find("tcp-proxy", "^session ended")) > 0 })
		record := m.find("tcp-proxy", "^session ended")[0]
		for field, want := range map[string]string{
			"APP": "web", "PORT": "127.0.0.1:5001", "CLIENT": client, "TARGET": "127.0.0.1:5102", "CAUSE": "client_closed",
			"BYTES_UP": "5", "BYTES_DOWN": "7", "ATTEMPTS": "2", "PRIORITY": "6", "SYSLOG_IDENTIFIER": "tcp-proxy",
			"_TRANSPORT": "journal", "_SYSTEMD_UNIT": "tcp-proxy.service",
		} {
			if record[field] != want {
				m.Errorf("%s=%v, want %s", field, record[field], want)
			}
		}
		for _, field := range []string{"DURATION_USEC", "CONNECT_USEC", "SESSION"} {
			if n, err := strconv.Atoi(fmt.Sprint(record[field])); err != nil || n <= 0 {
				m.Errorf("%s=%v", field, record[field])
			}
		}

		dead := m.find("tcp-proxy", "^target is dead")
		if len(dead) != 1 || dead[0]["PRIORITY"] != "4" || dead[0]["MESSAGE_ID"] != "f9267e8ad0014ea2a3f8df76b244b94e" {
			m.Errorf("the death of the target: %v", dead)
		}
		m.target("127.0.0.1:5101", "a")
		harness.Eventually(m, "the target is back", func() bool { return m.visit("127.0.0.1:5001", "a") == nil })
		journal := m.entries("tcp-proxy", "-x")
		for _, want := range []string{
			"Subject: Target 127.0.0.1:5101 of app web is dead",
			"connection refused",
			"Subject: Target 127.0.0.1:5101 of app web is alive again",
		} {
			if !strings.Contains(journal, want) {
				m.Errorf("journalctl -x does not say %q:\n%s", want, journal)
			}
		}
	})
}

// A journal that stands still loses no record: what it does not take as an entry comes by the standard error.
func TestJournalThatStandsStill(t *testing.T) {
	onEach(t, func(m *machine) {
		const sessions = 1500 // more than fit the journal's socket
		m.target("127.0.0.1:5101", "example")
		m.install("")
		journald := m.property("systemd-journald.service", "MainPID")
		m.run("kill", "-STOP", journald)
		for range sessions {
			if err := m.visit("127.0.0.1:5001", "example"); err != nil {
				unix.Kill(m.pidOutside(journald), unix.SIGCONT)
				m.Fatalf("while the journal stands still: %v", err)
			}
		}
		m.run("kill", "-CONT", journald)
		harness.Eventually(m, "every session is in the journal", func() bool {
			return len(m.find("tcp-proxy", "^session ended")) == sessions
		})
		native := 0
		for _, e := range m.find("tcp-proxy", "^session ended") {
			if e["APP"] == "example" {
				native++
			}
			if e["PRIORITY"] != "6" {
				m.Fatalf("priority %v", e["PRIORITY"])
			}
		}
		m.Logf("%d of %d records have their fields", native, sessions)
	})
}

// pidOutside gives the process ID that a process of the machine has outside of it.
func (m *machine) pidOutside(inside string) int {
	files, _ := os.ReadDir("/proc")
	for _, f := range files {
		status, _ := os.ReadFile("/proc/" + f.Name() + "/status")
		if pids := regexp.MustCompile(`(?m)^NSpid:\t(\d+)\t` + inside + `$`).FindSubmatch(status); pids != nil {
			if root, err := os.Readlink("/proc/" + f.Name() + "/ns/pid"); err == nil {
				if mine, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", m.leader)); err == nil && mine == root {
					n, _ := strconv.Atoi(string(pids[1]))
					return n
				}
			}
		}
	}
	m.Fatalf("no process %s in the machine", inside)
	return 0
}
