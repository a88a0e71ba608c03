package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"tcp-proxy/tests/harness"
)

// The packages that are tested: one of this source, and one that upgrades it.
const (
	version     = "1.0.0"
	nextVersion = "1.0.1"
)

// The root file systems that the machines start from. The first is this machine's own.
var releases = []struct{ name, root string }{{"own", "/"}, {"trixie", ""}}

// packages is the folder with the packages of both versions.
var packages string

func TestMain(m *testing.M) {
	if address := os.Getenv(storeVariable); address != "" {
		store(address)
		return
	}
	if why := cannot(); why != "" {
		fmt.Println("SKIP: the tests on a booted systemd:", why)
		return
	}
	folder, supervised := os.LookupEnv(folderVariable)
	if !supervised {
		os.Exit(supervise())
	}
	err := harness.Prepare()
	if err == nil {
		err = provide(folder)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// provide makes what the machines need in the folder.
func provide(folder string) error {
	base = folder
	packages = filepath.Join(folder, "packages")
	releases[1].root = filepath.Join(folder, "trixie")
	var g errgroup.Group
	g.Go(func() error { return makePackages(filepath.Join(packages, version), version, architectures) })
	g.Go(func() error { return makePackages(filepath.Join(packages, nextVersion), nextVersion, runtime.GOARCH) })
	g.Go(func() error { return unpack(releases[1].name, releases[1].root) })
	return g.Wait()
}

// cannot says what the tests need and this machine has not, or nothing.
func cannot() string {
	if os.Getuid() != 0 {
		return "they need root"
	}
	for _, program := range []string{"systemd-nspawn", "nsenter", "mmdebstrap", "tar", "dpkg", "rpm"} {
		if _, err := exec.LookPath(program); err != nil {
			return "they need " + program
		}
	}
	if _, err := cgroupRoot(); err != nil {
		return err.Error()
	}
	// It fails in a chroot whose / is no mount point; systemd-nspawn does too.
	if err := harness.TryNamespace("--mount"); err != nil {
		return err.Error()
	}
	folder, err := os.MkdirTemp("", "tcp-proxy-mount-")
	if err != nil {
		return err.Error()
	}
	defer os.Remove(folder)
	if err := unix.Mount("tcp-proxy-mount", folder, "tmpfs", 0, ""); err != nil {
		return fmt.Sprintf("they mount file systems: %v", err)
	}
	unix.Unmount(folder, unix.MNT_DETACH)
	return ""
}

// architectures are those that packages are released for.
const architectures = "amd64 arm64"

// makePackages makes the packages of a version in a folder.
func makePackages(folder, version, architectures string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	cmd := exec.Command("../../packaging/package.sh")
	cmd.Env = append(os.Environ(), "DIST="+folder, "VERSION="+version, "ARCHITECTURES="+architectures)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("package.sh: %w\n%s", err, out)
	}
	return nil
}

// packageOf gives the package of a version in a format, for the machine's own architecture.
func packageOf(t *testing.T, version, format string) string {
	t.Helper()
	architecture := runtime.GOARCH
	if name, ok := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[architecture]; ok && format == "rpm" {
		architecture = name
	}
	files, err := filepath.Glob(filepath.Join(packages, version, "*"+architecture+"."+format))
	if err != nil || len(files) != 1 {
		t.Fatalf("%d .%s packages of version %s: %v", len(files), format, version, err)
	}
	return files[0]
}

// unpack puts the root file system of a Debian release into a folder. It is made once, and kept as an archive in the
// user's cache.
func unpack(release, folder string) error {
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	cache = filepath.Join(cache, "tcp-proxy-tests")
	archive := filepath.Join(cache, release+"-2.tar")
	if _, err := os.Stat(archive); err != nil {
		if err := os.MkdirAll(cache, 0o755); err != nil {
			return err
		}
		site, err := mirror()
		if err != nil {
			return err
		}
		fresh := archive + ".new"
		cmd := exec.Command("mmdebstrap", "--quiet", "--variant=apt", "--include=systemd,systemd-sysv,dbus,procps,rpm,make,git,netcat-openbsd",
			"--format=tar", release, fresh, site)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("mmdebstrap %s: %w\n%s", release, err, out)
		}
		if err := os.Rename(fresh, archive); err != nil {
			return err
		}
	}
	if err := os.Mkdir(folder, 0o755); err != nil {
		return err
	}
	// What it has in /dev is for chroots; the container makes its own.
	if out, err := exec.Command("tar", "-x", "-f", archive, "-C", folder, "--exclude=./dev/*").CombinedOutput(); err != nil {
		return fmt.Errorf("unpack %s: %w\n%s", archive, err, out)
	}
	return nil
}

// mirror gives the Debian mirror that this machine uses.
func mirror() (string, error) {
	out, err := exec.Command("apt-get", "indextargets", "--format", "$(SITE)").Output()
	for site := range strings.FieldsSeq(string(out)) {
		if strings.HasSuffix(strings.TrimSuffix(site, "/"), "/debian") {
			return site, nil
		}
	}
	return "", errors.Join(errors.New("apt-get knows no mirror of Debian"), err)
}

// onEach runs the test on a machine of each release, side by side.
func onEach(t *testing.T, test func(m *machine)) {
	t.Parallel()
	for _, release := range releases {
		t.Run(release.name, func(t *testing.T) {
			t.Parallel()
			test(boot(t, release.root))
		})
	}
}

// install installs the package of the version, as dpkg does it, with the configuration for the service.
func (m *machine) install(config string) {
	m.Helper()
	if config != "" {
		m.write("/etc/tcp-proxy/config.json", config)
	}
	m.run("dpkg", "--force-confold", "-i", m.carry(packageOf(m.T, version, "deb")))
}

// carry copies a file into the machine and returns its path there.
func (m *machine) carry(file string) string {
	m.Helper()
	data, err := os.ReadFile(file)
	m.must(err)
	to := "/var/tmp/" + filepath.Base(file)
	m.must(os.WriteFile(m.path(to), data, 0o644))
	return to
}

// property gives a property of a unit (systemctl show).
func (m *machine) property(unit, name string) string {
	m.Helper()
	return strings.TrimSpace(m.run("systemctl", "show", "--value", "-p", name, unit))
}

// expect checks a property of a unit.
func (m *machine) expect(unit, name, want string) {
	m.Helper()
	if got := m.property(unit, name); got != want {
		m.Errorf("%s of %s is %q, want %q", name, unit, got, want)
	}
}

// becomes waits until a property of a unit has the value. A service that a socket has started takes connections before
// systemd has read that it is ready.
func (m *machine) becomes(unit, name, want string) {
	m.Helper()
	harness.Eventually(m, fmt.Sprintf("%s of %s becomes %q", name, unit, want), func() bool { return m.property(unit, name) == want })
}

// entries gives the journal of a unit, as journalctl prints it with the options.
func (m *machine) entries(unit string, options ...string) string {
	m.Helper()
	m.run("journalctl", "--sync")
	return m.run(append([]string{"journalctl", "--no-pager", "-u", unit}, options...)...)
}

// reaches checks that a client of an address gets to the target of that name, and gets back what it sends.
func (m *machine) reaches(address, name string) {
	m.Helper()
	if err := m.visit(address, name); err != nil {
		m.Errorf("client of %s: %v", address, err)
	}
}

// visit makes one session.
func (m *machine) visit(address, name string) error {
	conn, err := m.dial(address)
	if err != nil {
		return err
	}
	defer conn.Close()
	return talk(conn, name)
}

// A loop is a client that connects again and again.
type loop struct {
	stop   chan struct{}
	result chan error
	visits int // once result has been received
}

// connectInALoop starts a client that makes one session after the other, until end.
func (m *machine) connectInALoop(address, name string) *loop {
	l := &loop{stop: make(chan struct{}), result: make(chan error, 1)}
	go func() {
		for {
			select {
			case <-l.stop:
				l.result <- nil
				return
			default:
			}
			if err := m.visit(address, name); err != nil {
				l.result <- fmt.Errorf("visit %d: %w", l.visits, err)
				return
			}
			l.visits++
		}
	}()
	return l
}

// end stops the client; it must not have been refused or cut.
func (l *loop) end(m *machine) {
	m.Helper()
	close(l.stop)
	select {
	case err := <-l.result:
		if err != nil {
			m.Error(err)
		}
		if l.visits == 0 {
			m.Error("the client never came through")
		}
	case <-time.After(time.Minute):
		m.Error("the client is stuck")
	}
}
