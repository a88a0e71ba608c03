package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tcp-proxy/tests/harness"
)

// What apt installs is a running service, and what it takes away is gone.
func TestInstallWithApt(t *testing.T) {
	onEach(t, func(m *machine) {
		before := m.named()
		m.target("127.0.0.1:5101", "example")
		m.run("apt-get", "install", "-y", m.carry(packageOf(m.T, version, "deb")))
		m.expect("tcp-proxy.service", "ActiveState", "active")
		m.expect("tcp-proxy.service", "UnitFileState", "enabled")
		m.expect("tcp-proxy.socket", "ActiveState", "inactive")
		m.reaches("127.0.0.1:5001", "example")
		if version := m.run("tcp-proxy", "version"); !strings.HasPrefix(version, "tcp-proxy 1.0.0 ") {
			m.Errorf("version: %s", version)
		}
		if version := m.run("dpkg-query", "-W", "-f", "${Version} ${Homepage}", "tcp-proxy"); version != "1.0.0-1 https://tcp-proxy.example/" {
			m.Errorf("the package says %q of itself", version)
		}
		for _, file := range []string{"copyright", "operations.md", "configuration.md", "metrics.md", "api.md", "security.md"} {
			if !m.exists("/usr/share/doc/tcp-proxy/" + file) {
				m.Errorf("/usr/share/doc/tcp-proxy has no %s", file)
			}
		}
		status := ""
		harness.Eventually(m, "systemctl status says what it does", func() bool {
			status = m.run("systemctl", "status", "--no-pager", "tcp-proxy")
			return strings.Contains(status, `Status: "1 app, 1 port, 1/1 target alive, `)
		}, func() any { return status })
		for _, listens := range strings.Split(strings.TrimSpace(m.listening()), "\n") {
			if !strings.HasPrefix(listens, "0100007F:") {
				m.Errorf("the shipped configuration listens beyond this machine: %s", listens)
			}
		}

		m.run("systemctl", "stop", "tcp-proxy")
		m.expect("tcp-proxy.service", "ActiveState", "inactive")
		m.expect("tcp-proxy.service", "Result", "success")
		if err := m.visit("127.0.0.1:5001", "example"); err == nil {
			m.Error("the stopped service takes connections")
		}
		m.run("systemctl", "start", "tcp-proxy")
		m.reaches("127.0.0.1:5001", "example")
		m.run("systemctl", "restart", "tcp-proxy")
		m.reaches("127.0.0.1:5001", "example")
		m.run("systemctl", "reload", "tcp-proxy")
		m.reaches("127.0.0.1:5001", "example")

		m.write("/etc/tcp-proxy/web.json", `{"apps": [{"ports": [5002], "targets": ["127.0.0.1:5101"]}]}`)
		m.run("systemctl", "enable", "--now", "tcp-proxy@web.service", "tcp-proxy@more.socket")
		m.drop("tcp-proxy@web.service", "[Service]\nNice=1\n")
		m.drop("tcp-proxy.service", "[Service]\nNice=1\n")
		m.run("systemctl", "mask", "tcp-proxy@never.service")
		m.run("apt-get", "remove", "-y", "tcp-proxy")
		if units := m.run("systemctl", "list-units", "--no-legend", "--plain", "tcp-proxy*"); units != "" {
			m.Errorf("after the removal there are units:\n%s", units)
		}
		if m.exists("/usr/bin/tcp-proxy") || !m.exists("/etc/tcp-proxy/config.json") || !m.exists("/etc/tcp-proxy/web.json") {
			m.Error("the removal takes the program and leaves the configuration")
		}
		if left := m.run("find", "/run", "-name", "tcp-proxy*"); left != "" {
			m.Errorf("the removal leaves\n%s", left)
		}
		m.write("/etc/systemd/system/tcp-proxy@mine.service", "[Service]\nExecStart=/bin/true\n")
		m.drop("tcp-proxy@mine.service", "[Service]\nNice=1\n")
		m.run("apt-get", "purge", "-y", "tcp-proxy")
		if !m.exists("/etc/systemd/system/tcp-proxy@mine.service.d") {
			m.Error("the purge takes the drop-in of a unit that the administrator has written")
		}
		m.run("rm", "-r", "/etc/systemd/system/tcp-proxy@mine.service", "/etc/systemd/system/tcp-proxy@mine.service.d")
		for _, path := range m.named() {
			if !slices.Contains(before, path) {
				m.Errorf("the purge leaves %s", path)
			}
		}
		m.run("getent", "passwd", "tcp-proxy")
	})
}

// named gives the paths with the name of the program, which the machine may have for other reasons.
func (m *machine) named() []string {
	m.Helper()
	return strings.Fields(m.run("find", "/etc", "/run", "/usr", "/var/lib/systemd", "-name", "*tcp-proxy*", "-not", "-path", "/run/host/*"))
}

// listening gives the addresses that IPv4 sockets of the machine listen on, as /proc/net/tcp has them; and those of IPv6.
func (m *machine) listening() string {
	return m.run("awk", `$4 == "0A" { print $2 }`, "/proc/net/tcp", "/proc/net/tcp6")
}

// What the administrator has decided stays so when the package comes again.
func TestUpgradeKeepsDecisions(t *testing.T) {
	onEach(t, func(m *machine) {
		m.target("127.0.0.1:5101", "example")
		m.install("")
		m.run("systemctl", "disable", "--now", "tcp-proxy")
		m.run("dpkg", "-i", m.carry(packageOf(m.T, nextVersion, "deb")))
		m.expect("tcp-proxy.service", "ActiveState", "inactive")
		m.expect("tcp-proxy.service", "UnitFileState", "disabled")
		m.run("dpkg", "-r", "tcp-proxy")
		m.run("dpkg", "-i", m.carry(packageOf(m.T, version, "deb")))
		m.expect("tcp-proxy.service", "UnitFileState", "disabled")
	})
}

// An upgrade and a downgrade refuse nobody where systemd holds the socket, let an open session finish, and keep the
// configuration.
func TestUpgradeWithALiveClient(t *testing.T) {
	onEach(t, func(m *machine) {
		const config = `{"drain_timeout": "20s", "apps": [{"name": "mine", "ports": ["127.0.0.1:5001"], "targets": ["127.0.0.1:5101"]}]}`
		m.target("127.0.0.1:5101", "a")
		m.install(config)
		m.run("systemctl", "stop", "tcp-proxy")
		m.run("systemctl", "enable", "--now", "tcp-proxy.socket")
		m.run("systemctl", "start", "tcp-proxy")
		for _, to := range []string{nextVersion, version} {
			client := m.connectInALoop("127.0.0.1:5001", "a")
			open, err := m.dial("127.0.0.1:5001")
			m.must(err)
			finished := make(chan error, 1)
			before := m.property("tcp-proxy.service", "MainPID")
			go func() {
				// The session goes on until the old process is draining, and is then done properly.
				harness.Eventually(m, "the old process drains", func() bool {
					return m.property("tcp-proxy.service", "ActiveState") == "deactivating"
				})
				finished <- talk(open, "a")
			}()
			m.run("apt-get", "install", "-y", "--allow-downgrades", m.carry(packageOf(m.T, to, "deb")))
			if err := <-finished; err != nil {
				m.Errorf("the session that was open: %v", err)
			}
			open.Close()
			client.end(m)
			m.expect("tcp-proxy.service", "ActiveState", "active")
			if got := m.run("tcp-proxy", "version"); !strings.Contains(got, to) || m.property("tcp-proxy.service", "MainPID") == before {
				m.Errorf("version %s, and the process is %s", got, before)
			}
			if data, err := os.ReadFile(m.path("/etc/tcp-proxy/config.json")); err != nil || string(data) != config {
				m.Errorf("the configuration is %s, %v", data, err)
			}
		}
	})
}

// An upgrade does not restart a service whose configuration has errors: the old process goes on, and the upgrade says why.
// Other instances are restarted.
func TestUpgradeWithABrokenFile(t *testing.T) {
	for format, upgrade := range map[string][]string{
		"deb": {"dpkg", "--force-confold", "-i"},
		"rpm": {"rpm", "-U", "--nodeps"},
	} {
		t.Run(format, func(t *testing.T) {
			onEach(t, func(m *machine) {
				m.target("127.0.0.1:5101", "a")
				good := configure("loop", `"127.0.0.1:5001"`, `"127.0.0.1:5101"`)
				m.write("/etc/tcp-proxy/config.json", good)
				m.write("/etc/tcp-proxy/web.json", configure("loop", `"127.0.0.1:5002"`, `"127.0.0.1:5101"`))
				m.run(append(upgrade, m.carry(packageOf(m.T, version, format)))...)
				m.run("systemctl", "start", "tcp-proxy", "tcp-proxy@web")
				before, instance := m.property("tcp-proxy.service", "MainPID"), m.property("tcp-proxy@web.service", "MainPID")
				open, err := m.dial("127.0.0.1:5001")
				m.must(err)
				defer open.Close()

				m.write("/etc/tcp-proxy/config.json", configure("loop", `"127.0.0.1:500l"`, `"127.0.0.1:5101"`))
				out, errs, code := m.try(append(upgrade, m.carry(packageOf(m.T, nextVersion, format)))...)
				for _, want := range []string{
					`/etc/tcp-proxy/config.json:1:`, `"127.0.0.1:500l" is not a port`, "tcp-proxy.service is not restarted",
					"systemctl restart tcp-proxy.service",
				} {
					if !strings.Contains(out+errs, want) || code != 0 {
						m.Errorf("the upgrade does not say %q: exit code %d\n%s%s", want, code, out, errs)
					}
				}
				if got := m.run("tcp-proxy", "version"); !strings.Contains(got, nextVersion) {
					m.Errorf("after the upgrade the version is %s", got)
				}
				m.expect("tcp-proxy.service", "ActiveState", "active")
				m.expect("tcp-proxy.service", "MainPID", before)
				m.reaches("127.0.0.1:5001", "a")
				m.check(talk(open, "a"))
				if m.property("tcp-proxy@web.service", "MainPID") == instance {
					m.Error("the upgrade has not restarted the instance")
				}
				m.reaches("127.0.0.1:5002", "a")

				m.write("/etc/tcp-proxy/config.json", good)
				m.run("systemctl", "reload", "tcp-proxy")
				m.expect("tcp-proxy.service", "MainPID", before)
				m.run("systemctl", "restart", "tcp-proxy")
				m.reaches("127.0.0.1:5001", "a")
			})
		})
	}
}

// The RPM starts nothing by itself, and an upgrade restarts what runs.
func TestInstallWithRpm(t *testing.T) {
	onEach(t, func(m *machine) {
		m.target("127.0.0.1:5101", "example")
		m.run("rpm", "-i", "--nodeps", m.carry(packageOf(m.T, version, "rpm")))
		m.run("getent", "passwd", "tcp-proxy")
		m.expect("tcp-proxy.service", "ActiveState", "inactive")
		m.run("systemctl", "start", "tcp-proxy")
		m.reaches("127.0.0.1:5001", "example")
		before := m.property("tcp-proxy.service", "MainPID")
		m.write("/etc/tcp-proxy/config.json", `{"apps": [{"name": "mine", "ports": ["127.0.0.1:5001"], "targets": ["127.0.0.1:5101"]}]}`)

		m.run("rpm", "-U", "--nodeps", m.carry(packageOf(m.T, nextVersion, "rpm")))
		m.expect("tcp-proxy.service", "ActiveState", "active")
		if m.property("tcp-proxy.service", "MainPID") == before || !strings.Contains(m.run("tcp-proxy", "version"), nextVersion) {
			m.Error("the upgrade has not restarted the service")
		}
		m.reaches("127.0.0.1:5001", "example")
		if config, err := os.ReadFile(m.path("/etc/tcp-proxy/config.json")); err != nil || !bytes.Contains(config, []byte("mine")) {
			m.Errorf("the configuration is %s, %v", config, err)
		}
		m.run("rpm", "-U", "--nodeps", "--oldpackage", m.carry(packageOf(m.T, version, "rpm")))
		m.reaches("127.0.0.1:5001", "example")

		if says := m.run("rpm", "-q", "--queryformat", "%{VERSION} %{URL}", "tcp-proxy"); says != "1.0.0 https://tcp-proxy.example/" {
			m.Errorf("the package says %q of itself", says)
		}
		if !m.exists("/usr/share/licenses/tcp-proxy/THIRD-PARTY-NOTICES") || !m.exists("/usr/share/doc/tcp-proxy/operations.md") {
			m.Error("the package lacks notices or docs")
		}
		m.run("systemctl", "enable", "tcp-proxy@web.service", "tcp-proxy@more.socket")
		m.run("rpm", "-e", "tcp-proxy")
		if left := m.run("find", "/etc/systemd", "-name", "tcp-proxy*"); left != "" {
			m.Errorf("the removal leaves\n%s", left)
		}
		m.expect("tcp-proxy.service", "ActiveState", "inactive")
		if m.exists("/usr/bin/tcp-proxy") || !m.exists("/etc/tcp-proxy/config.json.rpmsave") {
			m.Error("the removal takes the program and leaves the changed configuration")
		}
	})
}

// The same source makes the same bytes.
func TestPackagesAreReproducible(t *testing.T) {
	t.Parallel()
	again := t.TempDir()
	if err := makePackages(again, version, architectures); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(packages, version, "*"))
	if err != nil || len(files) != 4 {
		t.Fatalf("%d packages, %v: %s", len(files), err, files)
	}
	for _, file := range files {
		one, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		other, err := os.ReadFile(filepath.Join(again, filepath.Base(file)))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(one, other) {
			t.Errorf("%s differs from the one that was built after it", filepath.Base(file))
		}
	}
	for _, check := range [][]string{
		{"lintian", "--allow-root", "--fail-on", "error,warning"},
		{"rpmlint", "--strict", "--rpmlintrc", "../../packaging/rpm/rpmlintrc"},
	} {
		if _, err := exec.LookPath(check[0]); err != nil {
			fmt.Printf("SKIP: faults of the packages: %s is not installed\n", check[0])
			continue
		}
		for _, file := range files {
			if strings.HasSuffix(file, ".deb") != (check[0] == "lintian") {
				continue
			}
			if out, err := exec.CommandContext(t.Context(), check[0], append(check[1:], file)...).CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", check[0], err, out)
			}
		}
	}
}
