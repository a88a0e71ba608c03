package harness

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// A Nameserver is dnsmasq on the rig's loopback address. The proxies of the rig use only this server: they start in a mount
// namespace with their own resolv.conf(5), which requires root.
type Nameserver struct {
	rig       *Rig
	hosts     string // file
	arguments []string
	command   *exec.Cmd
}

// Nameserver starts one that knows everything about the domain "internal", from what Set says and from options, and
// nothing about others. Its answers count for a second. Proxies that are started from then on ask it.
func (r *Rig) Nameserver(options ...string) *Nameserver {
	r.T.Helper()
	if os.Geteuid() != 0 {
		r.T.Skip("SKIP: a name server of its own wants root")
	}
	Namespace(r.T, "--mount")
	n := &Nameserver{rig: r, hosts: r.Path("hosts")}
	n.arguments = append([]string{
		"--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--user=root", "--log-facility=" + r.Path("dnsmasq.log"),
		"--bind-interfaces", "--listen-address=" + r.Host,
		"--no-resolv", "--no-hosts", "--local=/internal/", "--local-ttl=1", "--addn-hosts=" + n.hosts,
	}, options...)
	n.write(r.Path("resolv.conf"), "nameserver "+r.Host, "options timeout:30")
	n.write(n.hosts)
	n.Start()
	r.nameserver = n
	r.T.Cleanup(n.Stop)
	return n
}

// Set replaces all names: "ADDRESS NAME" each.
func (n *Nameserver) Set(hosts ...string) {
	n.rig.T.Helper()
	n.write(n.hosts, hosts...)
	if n.command != nil {
		n.signal(syscall.SIGHUP)
	}
}

// Start starts it again after a Stop.
func (n *Nameserver) Start() {
	n.rig.T.Helper()
	program := "dnsmasq"
	if path, err := exec.LookPath("/usr/sbin/dnsmasq"); err == nil {
		program = path // Debian keeps it out of the PATH of others
	}
	n.command = exec.Command(program, n.arguments...)
	n.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	n.command.Stderr = os.Stderr
	if err := n.command.Start(); errors.Is(err, exec.ErrNotFound) {
		n.command = nil
		n.rig.T.Skipf("SKIP: %v: run `make deps`", err)
	} else if err != nil {
		n.rig.T.Fatal(err)
	}
	Eventually(n.rig.T, "the name server listens", func() bool { return Listening(n.rig.T, n.rig.Host+":53") })
}

// Pause makes the server leave questions unanswered until resume is called.
func (n *Nameserver) Pause() (resume func()) {
	n.rig.T.Helper()
	n.signal(syscall.SIGSTOP)
	return func() {
		n.rig.T.Helper()
		n.signal(syscall.SIGCONT)
	}
}

// Stop ends the server: its port is closed.
func (n *Nameserver) Stop() {
	n.rig.T.Helper()
	if n.command == nil {
		return
	}
	n.signal(syscall.SIGKILL)
	_ = n.command.Wait() // killed
	n.command = nil
}

func (n *Nameserver) signal(signal syscall.Signal) {
	n.rig.T.Helper()
	if err := n.command.Process.Signal(signal); err != nil {
		n.rig.T.Fatalf("signal the name server: %v", err)
	}
}

// write writes a file in one step.
func (n *Nameserver) write(file string, lines ...string) {
	n.rig.T.Helper()
	text := strings.Join(append(lines, ""), "\n")
	if err := os.WriteFile(file+".new", []byte(text), 0o644); err != nil {
		n.rig.T.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		n.rig.T.Fatal(err)
	}
}

// around gives the command that runs a program with this name server in place of those of the machine.
func (n *Nameserver) around(program string, arguments []string) *exec.Cmd {
	const script = `mount --bind "$1" /etc/resolv.conf && shift && exec "$@"`
	all := []string{"--mount", "sh", "-c", script, "sh", filepath.Join(filepath.Dir(n.hosts), "resolv.conf"), program}
	return exec.Command("unshare", append(all, arguments...)...)
}
