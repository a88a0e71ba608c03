package harness

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A StuckLog is a log that accepts nothing.
type StuckLog struct {
	Name      string
	Arguments []string // that have the proxy log there
	place     func(r *Rig)
}

// FullDisk is a log that fails.
var FullDisk = StuckLog{"a disk that is full", []string{"--log-format", "json"}, (*Rig).logToFullDisk}

// StuckLogs are all ways in which a log can stop accepting entries: by blocking or by failing.
var StuckLogs = []StuckLog{
	{"a pipe that nobody reads, JSON", []string{"--log-format", "json"}, (*Rig).logToPipe},
	{"a pipe that nobody reads, text", []string{"--log-format", "text"}, (*Rig).logToPipe},
	{"a pipe whose reader is gone", []string{"--log-format", "json"}, (*Rig).logToNobody},
	{"a terminal that stands still", []string{"--log-format", "text"}, (*Rig).logToTerminal},
	FullDisk,
	{"a journal that stands still", []string{"--log-format", "journal"}, (*Rig).logToJournal},
}

// Put makes proxies of the rig that start from now on log there.
func (l StuckLog) Put(r *Rig) {
	r.T.Helper()
	l.place(r)
}

func (r *Rig) logToPipe() {
	r.T.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		r.T.Fatal(err)
	}
	r.fill(writer)
	r.logTo(writer, reader)
}

func (r *Rig) logToNobody() {
	r.T.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		r.T.Fatal(err)
	}
	reader.Close()
	r.logTo(writer)
}

func (r *Rig) logToFullDisk() {
	r.T.Helper()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		r.T.Fatal(err)
	}
	r.logTo(full)
}

// logToTerminal is a pseudo-terminal (pty(7)) whose other side nobody reads, as after Ctrl-S.
func (r *Rig) logToTerminal() {
	r.T.Helper()
	other, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		r.T.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(other.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(other.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		r.T.Fatalf("make a terminal: %v", err)
	}
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		r.T.Fatal(err)
	}
	r.fill(terminal)
	r.logTo(terminal, other)
}

// logToJournal replaces the socket of journald by one that is full and that nobody reads, in a mount namespace of the
// proxy, which requires root. Standard error, the fallback of the journal, is a pipe that nobody reads.
func (r *Rig) logToJournal() {
	r.T.Helper()
	if os.Geteuid() != 0 {
		r.T.Skip("SKIP: a journal of its own wants root")
	}
	Namespace(r.T, "--mount")
	folder := filepath.Dir(r.Path("journal/socket"))
	if err := os.Mkdir(folder, 0o755); err != nil {
		r.T.Fatal(err)
	}
	at := &net.UnixAddr{Name: filepath.Join(folder, "socket"), Net: "unixgram"}
	journal, err := net.ListenUnixgram("unixgram", at)
	if err != nil {
		r.T.Fatal(err)
	}
	r.T.Cleanup(func() { journal.Close() })
	full, err := net.DialUnix("unixgram", nil, at)
	if err != nil {
		r.T.Fatal(err)
	}
	defer full.Close()
	raw, err := full.SyscallConn()
	if err != nil {
		r.T.Fatal(err)
	}
	if err := raw.Write(func(fd uintptr) bool {
		for unix.Sendto(int(fd), []byte("MESSAGE=noise\n"), unix.MSG_DONTWAIT, nil) == nil {
		}
		return true
	}); err != nil {
		r.T.Fatal(err)
	}
	r.around = func(program string, arguments []string) *exec.Cmd {
		const script = `mount -t tmpfs none /run && mkdir -p /run/systemd/journal && mount --bind "$1" /run/systemd/journal && shift && exec "$@"`
		return exec.Command("unshare", append([]string{"--mount", "sh", "-c", script, "sh", folder, program}, arguments...)...)
	}
	r.logToPipe()
}

// fill writes to a file until it accepts no more.
func (r *Rig) fill(file *os.File) {
	r.T.Helper()
	fd := int(file.Fd())
	if err := unix.SetNonblock(fd, true); err != nil {
		r.T.Fatal(err)
	}
	for _, piece := range []string{strings.Repeat("x", 1<<10), "x"} {
		for {
			if _, err := unix.Write(fd, []byte(piece)); err != nil {
				break
			}
		}
	}
	if err := unix.SetNonblock(fd, false); err != nil { // the proxy has the same open file
		r.T.Fatal(err)
	}
}

// logTo has proxies log to a file. It and others are closed when the test is over.
func (r *Rig) logTo(file *os.File, others ...*os.File) {
	r.stderr = file
	r.T.Cleanup(func() {
		for _, f := range append(others, file) {
			f.Close()
		}
	})
}
