// Package e2e tests the packages and the service on real, booted systemd: containers of systemd-nspawn with a throw-away
// file system, one of this machine's own and one of another Debian release.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/tests/harness"
)

// A machine is a container in which systemd runs as process 1, with a network of its own that has nothing but loopback.
// The end of the test ends it, and throws away what it has written.
type machine struct {
	*testing.T
	folder string // a tmpfs
	root   string // the overlay, seen from outside
	leader int    // its process 1
}

// base is the folder of this run; the names of all that its machines leave outside of it begin with that of the folder.
var base string

var machines atomic.Int32

// boot starts a machine on a copy of a root file system, and waits until systemd is done with starting. The options are those
// of systemd-nspawn(1).
func boot(t *testing.T, lower string, options ...string) *machine {
	t.Helper()
	name := fmt.Sprintf("%s-%d", filepath.Base(base), machines.Add(1))
	m := &machine{T: t, folder: filepath.Join(base, name)}
	m.root = filepath.Join(m.folder, "root")
	m.must(os.Mkdir(m.folder, 0o755))
	t.Cleanup(func() { os.Remove(m.folder) })
	m.must(unix.Mount(name, m.folder, "tmpfs", 0, "mode=755,size=2g"))
	t.Cleanup(func() { m.check(unix.Unmount(m.folder, unix.MNT_DETACH)) })
	for _, folder := range []string{"root", "upper", "work"} {
		m.must(os.Mkdir(filepath.Join(m.folder, folder), 0o755))
	}
	layers := fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", lower, m.folder, m.folder)
	m.must(unix.Mount("overlay", m.root, "overlay", 0, layers))
	t.Cleanup(func() { m.check(unix.Unmount(m.root, unix.MNT_DETACH)) })
	m.tidy(name)
	m.start(name, options)
	return m
}

// tidy makes the root file system that of a machine which starts for the first time and has nothing to do.
func (m *machine) tidy(name string) {
	m.Helper()
	gone := []string{".dockerenv", "usr/sbin/policy-rc.d", "var/log/journal", "etc/tcp-proxy"}
	for _, wants := range []string{"multi-user", "timers", "sysinit", "sockets", "graphical", "basic", "network-online"} {
		gone = append(gone, "etc/systemd/system/"+wants+".target.wants/*")
	}
	for _, pattern := range gone {
		files, err := filepath.Glob(filepath.Join(m.root, pattern))
		m.must(err)
		for _, file := range files {
			m.must(os.RemoveAll(file))
		}
	}
	id, err := exec.Command("systemd-id128", "new").Output()
	m.must(err)
	m.writeRoot("etc/machine-id", string(id))
	m.writeRoot("etc/hostname", name+"\n")
	m.writeRoot("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")
	// Nobody counts here, as a test may make many.
	m.writeRoot("etc/systemd/journald.conf.d/test.conf", "[Journal]\nRateLimitBurst=0\nStorage=volatile\n")
	for _, unit := range []string{"apt-daily.timer", "apt-daily-upgrade.timer", "man-db.timer", "systemd-resolved.service",
		"systemd-networkd.service", "systemd-networkd-wait-online.service"} {
		m.must(os.MkdirAll(filepath.Join(m.root, "etc/systemd/system"), 0o755))
		link := filepath.Join(m.root, "etc/systemd/system", unit)
		os.Remove(link)
		m.must(os.Symlink(os.DevNull, link))
	}
}

func (m *machine) writeRoot(path, text string) {
	m.Helper()
	path = filepath.Join(m.root, path)
	m.must(os.MkdirAll(filepath.Dir(path), 0o755))
	os.Remove(path)
	m.must(os.WriteFile(path, []byte(text), 0o644))
}

// cgroupRoot is where cgroup version 2 is mounted: alone, or beside version 1.
func cgroupRoot() (string, error) {
	for _, path := range []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup"} {
		var fs unix.Statfs_t
		if err := unix.Statfs(path, &fs); err == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC {
			return path, nil
		}
	}
	return "", errors.New("no cgroup file system of version 2")
}

// start boots the machine in a cgroup of its own: in a shared one, two machines would end each other's services.
func (m *machine) start(name string, options []string) {
	m.Helper()
	root, err := cgroupRoot()
	m.must(err)
	cgroup := filepath.Join(root, name)
	m.must(os.Mkdir(cgroup, 0o755))
	m.Cleanup(func() { m.check(removeCgroup(cgroup)) })
	fd, err := os.Open(cgroup)
	m.must(err)
	defer fd.Close()
	console, err := os.Create(filepath.Join(m.folder, "console"))
	m.must(err)
	defer console.Close()

	options = append([]string{"--quiet", "--boot", "--directory=" + m.root, "--machine=" + name, "--private-network",
		"--register=no", "--keep-unit", "--console=pipe", "--kill-signal=SIGRTMIN+3"}, options...)
	nspawn := exec.Command("systemd-nspawn", options...)
	nspawn.Env = append(os.Environ(), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1")
	nspawn.Stdout, nspawn.Stderr = console, console
	nspawn.SysProcAttr = &syscall.SysProcAttr{Setsid: true, UseCgroupFD: true, CgroupFD: int(fd.Fd())}
	m.must(nspawn.Start())
	m.Cleanup(func() { m.halt(nspawn) })

	harness.Eventually(m, "systemd-nspawn starts systemd", func() bool {
		m.leader = childNamed(nspawn.Process.Pid, "systemd")
		return m.leader > 0
	})
	harness.Eventually(m, "systemd has started", func() bool {
		state, _, _ := m.try("systemctl", "is-system-running")
		state = strings.TrimSpace(state)
		return state == "running" || state == "degraded"
	})
}

// halt ends the machine; if it does not end itself, its processes are killed.
func (m *machine) halt(nspawn *exec.Cmd) {
	if m.Failed() {
		m.dump()
	}
	done := make(chan error, 1)
	go func() { done <- nspawn.Wait() }()
	m.check(nspawn.Process.Signal(unix.SIGTERM))
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		if m.leader > 0 {
			m.check(unix.Kill(m.leader, unix.SIGKILL))
		}
		m.check(nspawn.Process.Kill())
		<-done
	}
}

// dump shows what a failed test may want to know.
func (m *machine) dump() {
	if m.leader == 0 {
		console, _ := os.ReadFile(filepath.Join(m.folder, "console"))
		m.Logf("console:\n%s", console)
		return
	}
	out, _, _ := m.try("journalctl", "--no-pager", "-n", "60", "-u", "tcp-proxy*")
	m.Logf("the last of the journal:\n%s", out)
}

func removeCgroup(path string) error {
	var err error
	for range 100 {
		if err = removeTree(path); err == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

// removeTree removes folders, the deepest first, and leaves their files to the kernel.
func removeTree(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(path, e.Name())); err != nil {
				return err
			}
		}
	}
	return unix.Rmdir(path)
}

// childNamed gives the child of a process that has that name, or 0.
func childNamed(pid int, name string) int {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		children, _ := os.ReadFile(list)
		for child := range strings.FieldsSeq(string(children)) {
			if comm, _ := os.ReadFile("/proc/" + child + "/comm"); strings.TrimSpace(string(comm)) == name {
				n, _ := strconv.Atoi(child)
				return n
			}
		}
	}
	return 0
}

// command prepares a command in the machine. The end of the context kills it.
func (m *machine) command(ctx context.Context, command ...string) *exec.Cmd {
	// -r, -w: if the tests run in a chroot, the root of the machine is not that of its mount namespace.
	enter := []string{"-t", strconv.Itoa(m.leader), "-m", "-r", "-w", "-u", "-i", "-n", "-p", "-C", "--"}
	cmd := exec.CommandContext(ctx, "nsenter", append(enter, command...)...)
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "SYSTEMD_COLORS=0"}
	cmd.WaitDelay = time.Second
	return cmd
}

// try runs a command in the machine and returns its output and its exit code.
func (m *machine) try(command ...string) (stdout, stderr string, code int) {
	m.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), harness.Timeout)
	defer cancel()
	cmd := m.command(ctx, command...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		m.Fatalf("run %q in the machine: %v\n%s%s", command, err, &out, &errs)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// run runs a command in the machine, which has to succeed, and returns what it prints.
func (m *machine) run(command ...string) string {
	m.Helper()
	stdout, stderr, code := m.try(command...)
	if code != 0 {
		m.Fatalf("%q in the machine: exit code %d\n%s%s", command, code, stdout, stderr)
	}
	return stdout
}

// path is how the outside reaches a file of the machine, its tmpfs and sockets included.
func (m *machine) path(name string) string { return fmt.Sprintf("/proc/%d/root%s", m.leader, name) }

// write writes a file in the machine.
func (m *machine) write(name, text string) {
	m.Helper()
	m.must(os.MkdirAll(filepath.Dir(m.path(name)), 0o755))
	m.must(os.WriteFile(m.path(name), []byte(text), 0o644))
}

// exists says whether there is a file of that name in the machine.
func (m *machine) exists(name string) bool {
	_, err := os.Lstat(m.path(name))
	return err == nil
}

// inNetwork calls f in a thread that is in the network of the machine. Sockets that f makes stay in it.
func (m *machine) inNetwork(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", m.leader))
		if err == nil {
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
			ns.Close()
		}
		if err == nil {
			err = f()
		}
		result <- err
	}()
	return <-result
}

// dial connects to an address in the machine: an IP address with a port, or the path of a unix socket.
func (m *machine) dial(address string) (conn net.Conn, err error) {
	network := "tcp"
	if strings.HasPrefix(address, "/") {
		network, address = "unix", m.path(address)
	}
	err = m.inNetwork(func() (err error) {
		conn, err = net.DialTimeout(network, address, 10*time.Second)
		return err
	})
	if err == nil {
		conn.SetDeadline(time.Now().Add(harness.Timeout))
	}
	return conn, err
}

// target listens in the machine and answers every connection: first with the name, then with what it gets.
func (m *machine) target(address, name string) {
	m.Helper()
	var l net.Listener
	m.must(m.inNetwork(func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	}))
	m.Cleanup(func() { l.Close() })
	go serve(l, name)
}

func serve(l net.Listener, name string) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go answer(conn.(*net.TCPConn), name)
	}
}

func answer(conn *net.TCPConn, name string) {
	defer conn.Close()
	if _, err := conn.Write([]byte(name + "\n")); err == nil {
		conn.ReadFrom(conn) // an error is the client's to see
	}
}

func (m *machine) must(err error) {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
}

func (m *machine) check(err error) {
	m.Helper()
	if err != nil {
		m.Error(err)
	}
}
