package tests

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// machine is a folder that stands for / of a Debian machine, with programs in bin that stand for its package manager.
// They write every call into the file "calls".
type machine struct {
	*testing.T
	root string
}

// The programs of the machine. apt-get installs nginx, haproxy and newer redis-server, and enables their services as
// their maintainer scripts do.
var programs = map[string]string{
	"id":      `echo 0`,
	"unshare": ``,
	"apt-get": `
echo "apt-get $*" >>"$DEPS_ROOT/calls"
case "$*" in
  update*) ;;
  *--simulate*)
    [ ! -e "$DEPS_ROOT/unknown" ] || { echo "E: Unable to locate package nginx"; exit 100; }
    echo "Inst redis-server [5:7.0.1] (5:7.0.2 Debian:12/stable [amd64])"
    echo "Inst nginx (1.22 Debian:12/stable [amd64])"
    echo "Inst haproxy (2.6 Debian:12/stable [amd64])"
    echo "Conf nginx (1.22 Debian:12/stable [amd64])" ;;
  *--assume-no*)
    echo "1 upgraded, 2 newly installed, 0 to remove and 0 not upgraded."
    echo "Need to get 3,100 kB/4,200 kB of archives."
    echo "After this operation, 62.2 MB of additional disk space will be used."
    exit 1 ;;
  *--download-only*)
    [ ! -e "$DEPS_ROOT/offline" ] || { echo "E: Failed to fetch http://deb.example/nginx.deb"; exit 100; } ;;
  *)
    "$DEPS_ROOT/usr/sbin/policy-rc.d" nginx start; echo "policy $?" >>"$DEPS_ROOT/calls"
    for unit in nginx haproxy redis-server; do
      ln -sf "/lib/systemd/system/$unit.service" "$DEPS_ROOT/etc/systemd/system/multi-user.target.wants/$unit.service"
      ln -sf "../init.d/$unit" "$DEPS_ROOT/etc/rc2.d/S01$unit"
    done
    [ ! -e "$DEPS_ROOT/broken" ] || exit 100 ;;
esac`,
	"dpkg": `
shift
for package; do
  echo "/lib/systemd/system/$package.service"
  echo "/lib/systemd/system/$package-static.service"
  echo "/lib/systemd/system/multi-user.target.wants/$package-static.service"
  echo "/usr/sbin/$package"
  echo "/etc/init.d/$package"
  echo "/etc/init.d/$package-off"
done`,
	"systemctl":   `echo "systemctl $*" >>"$DEPS_ROOT/calls"`,
	"update-rc.d": `echo "update-rc.d $*" >>"$DEPS_ROOT/calls"`,
}

// The programs of this machine that the script and the programs above use.
var borrowed = []string{
	"awk", "bash", "cat", "chmod", "find", "flock", "grep", "head", "ln", "mktemp", "mv", "rm", "sed", "sh", "sort", "tr", "wc",
}

func newMachine(t *testing.T) machine {
	t.Helper()
	m := machine{T: t, root: t.TempDir()}
	for name, script := range programs {
		m.write("bin/"+name, "#!/bin/sh\n"+script+"\n")
	}
	for _, name := range borrowed {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Skipf("SKIP: %s is not installed", name)
		}
		if err := os.Symlink(path, filepath.Join(m.root, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, folder := range []string{"usr/sbin", "tmp", "etc/systemd/system/multi-user.target.wants", "etc/init.d", "etc/rc2.d"} {
		if err := os.MkdirAll(filepath.Join(m.root, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// write writes an executable file.
func (m machine) write(name, text string) {
	m.Helper()
	path := filepath.Join(m.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		m.Fatal(err)
	}
}

// read returns the text of a file, "" if there is none.
func (m machine) read(name string) string {
	m.Helper()
	data, err := os.ReadFile(filepath.Join(m.root, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		m.Fatal(err)
	}
	return string(data)
}

// calls returns the calls that start with the text, without it.
func (m machine) calls(start string) []string {
	m.Helper()
	var calls []string
	for line := range strings.Lines(m.read("calls")) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), start+" "); ok {
			calls = append(calls, rest)
		}
	}
	return calls
}

// deps runs the script, and returns what it prints and its exit code.
func (m machine) deps() (string, int) {
	m.Helper()
	cmd := exec.CommandContext(m.Context(), filepath.Join(m.root, "bin/bash"), "deps.sh")
	cmd.Env = []string{"PATH=" + filepath.Join(m.root, "bin"), "DEPS_ROOT=" + m.root, "TMPDIR=" + filepath.Join(m.root, "tmp")}
	out, err := cmd.CombinedOutput()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		m.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(m.root, "tmp/*")); len(left) > 0 {
		m.Errorf("the script leaves %s", left)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// policyRC is a policy-rc.d of the administrator, which permits everything.
const policyRC = "#!/bin/sh\nexit 0\n"

func TestDepsSaysWhatComes(t *testing.T) {
	m := newMachine(t)
	out, code := m.deps()
	const want = "apt-get installs 2 packages and upgrades 1: 3,100 kB to download, 62.2 MB on disk."
	if code != 0 || !strings.Contains(out, want) || strings.Contains(out, "SKIP") {
		t.Errorf("exit code %d, want 0 and %q:\n%s", code, want, out)
	}
	for _, call := range m.calls("apt-get") {
		if !strings.HasPrefix(call, "update") && !strings.HasPrefix(call, "install --no-install-recommends --no-remove ") {
			t.Errorf("apt-get %s: takes recommended packages, or removes others", call)
		}
	}
}

// Services of packages that this run installs are neither started nor enabled; those that were there before stay as they are.
func TestDepsDisablesWhatItInstalls(t *testing.T) {
	for name, script := range map[string]string{"with a policy": policyRC, "without": ""} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			if script != "" {
				m.write("usr/sbin/policy-rc.d", script)
			}
			// The administrator has an HAProxy that is not Debian's.
			m.write("etc/systemd/system/haproxy.service", "")
			m.write("etc/init.d/haproxy", "")
			if out, code := m.deps(); code != 0 {
				t.Errorf("exit code %d:\n%s", code, out)
			}
			m.expectOnlyNginxDisabled()
			if got := m.read("usr/sbin/policy-rc.d"); got != script {
				t.Errorf("policy-rc.d afterwards: %q, want %q", got, script)
			}
		})
	}
}

func (m machine) expectOnlyNginxDisabled() {
	m.Helper()
	if got := m.calls("policy"); !slices.Equal(got, []string{"101"}) {
		m.Errorf("policy-rc.d answered %v while packages were installed, want 101: no service starts", got)
	}
	if got := m.calls("systemctl"); !slices.Equal(got, []string{"disable nginx.service"}) {
		m.Errorf("calls of systemctl: %q", got)
	}
	if got := m.calls("update-rc.d"); !slices.Equal(got, []string{"nginx disable"}) {
		m.Errorf("calls of update-rc.d: %q", got)
	}
}

// A failed installation is an error, and is cleaned up like any other.
func TestDepsThatFails(t *testing.T) {
	m := newMachine(t)
	m.write("broken", "")
	m.write("usr/sbin/policy-rc.d", policyRC)
	m.write("etc/systemd/system/haproxy.service", "")
	m.write("etc/init.d/haproxy", "")
	if out, code := m.deps(); code != 1 || !strings.Contains(out, "could not be installed") {
		t.Errorf("exit code %d, want 1:\n%s", code, out)
	}
	m.expectOnlyNginxDisabled()
	if got := m.read("usr/sbin/policy-rc.d"); got != policyRC {
		t.Errorf("policy-rc.d afterwards: %q", got)
	}
}

// A run that was killed has left its policy-rc.d, and the machine's own beside it: the next one puts that back.
func TestDepsAfterOneThatWasKilled(t *testing.T) {
	for name, kept := range map[string]string{"with a policy": policyRC, "without": ""} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			mark := regexp.MustCompile(`(?m)^mark="(.*)"$`).FindStringSubmatch(m.script())
			if mark == nil {
				t.Fatal("deps.sh does not mark its policy-rc.d")
			}
			m.write("usr/sbin/policy-rc.d", "#!/bin/sh\n"+mark[1]+"\nexit 101\n")
			if kept != "" {
				m.write("usr/sbin/policy-rc.d.tcp-proxy-kept", kept)
			}
			m.deps()
			if got := m.read("usr/sbin/policy-rc.d"); got != kept {
				t.Errorf("policy-rc.d afterwards: %q, want %q", got, kept)
			}
			if got := m.read("usr/sbin/policy-rc.d.tcp-proxy-kept"); got != "" {
				t.Error("the kept policy-rc.d is still there")
			}
		})
	}
}

// script returns the text of deps.sh.
func (m machine) script() string {
	m.Helper()
	data, err := os.ReadFile("deps.sh")
	if err != nil {
		m.Fatal(err)
	}
	return string(data)
}

// installAll gives the machine everything that the script looks for.
func (m machine) installAll() {
	m.Helper()
	count := 0
	for _, line := range regexp.MustCompile(`(?m)^ *need \S+ "[^"]*" (.*)$`).FindAllStringSubmatch(m.script(), -1) {
		for what := range strings.FieldsSeq(line[1]) {
			what = strings.ReplaceAll(strings.Trim(what, "'"), "*", "1")
			if !strings.HasPrefix(what, "/") {
				what = "usr/sbin/" + what // Debian keeps some there, out of the PATH of others
			}
			m.write(what, "#!/bin/sh\n")
			count++
		}
	}
	if count < 20 {
		m.Fatalf("the script looks for %d programs and files only", count)
	}
}

func TestDepsWithNothingMissing(t *testing.T) {
	m := newMachine(t)
	m.installAll()
	out, code := m.deps()
	if calls := m.read("calls"); code != 0 || out != "" || calls != "" {
		t.Errorf("exit code %d, calls:\n%s\noutput:\n%s", code, calls, out)
	}
}

// Where nothing can be installed, the script succeeds, and says what is not tested and why.
func TestDepsThatCannotInstall(t *testing.T) {
	for _, c := range []struct {
		name, why string
		prepare   func(m machine)
	}{
		{"no root", "only root can install it", func(m machine) { m.write("bin/id", "#!/bin/sh\necho 1000\n") }},
		{"no apt-get", "there is no apt-get here", func(m machine) { os.Remove(filepath.Join(m.root, "bin/apt-get")) }},
		{"unknown packages", "Unable to locate package nginx", func(m machine) { m.write("unknown", "") }},
		{"no network", "Failed to fetch http://deb.example/nginx.deb", func(m machine) { m.write("offline", "") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			c.prepare(m)
			m.write("usr/sbin/policy-rc.d", policyRC)
			out, code := m.deps()
			if want := fmt.Sprintf("SKIP: HTTP through nginx: nginx is not installed: %s", c.why); code != 0 || !strings.Contains(out, want) {
				t.Errorf("exit code %d, want 0 and %q:\n%s", code, want, out)
			}
			if calls := slices.Concat(m.calls("policy"), m.calls("systemctl"), m.calls("update-rc.d")); len(calls) > 0 {
				t.Errorf("calls: %q", calls)
			}
			if got := m.read("usr/sbin/policy-rc.d"); got != policyRC {
				t.Errorf("policy-rc.d afterwards: %q", got)
			}
		})
	}
}

// What the machine itself does not permit is named, even with all packages there.
func TestDepsNamesWhatTheMachineForbids(t *testing.T) {
	m := newMachine(t)
	m.installAll()
	m.write("bin/unshare", "#!/bin/sh\nexit 1\n")
	out, code := m.deps()
	if code != 0 || !strings.Contains(out, "SKIP: packages and service on a booted systemd, targets by name") || !strings.Contains(out, "SKIP: the demo") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}
