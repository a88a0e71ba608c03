package admin

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"tcp-proxy/tests/harness"
)

// A terminal is one end of a pseudoterminal with a command at the other: pty(7).
type terminal struct {
	t       *testing.T
	master  *os.File
	command *exec.Cmd

	mu   sync.Mutex // guards text
	text strings.Builder
	done chan struct{} // closed when the command has left the terminal
}

// open starts a command at a terminal of that size.
func open(t *testing.T, columns, rows int, command *exec.Cmd) *terminal {
	t.Helper()
	// Not in the poller, where a read of a terminal could not be told from the end of it.
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	master := os.NewFile(uintptr(fd), "ptmx")
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{t: t, master: master, command: command, done: make(chan struct{})}
	term.resize(columns, rows)
	command.Stdin, command.Stdout, command.Stderr = slave, slave, slave
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	go term.read()
	t.Cleanup(func() { master.Close() })
	return term
}

func (term *terminal) read() {
	defer close(term.done)
	buffer := make([]byte, 4096)
	for {
		n, err := term.master.Read(buffer)
		term.mu.Lock()
		term.text.Write(buffer[:n])
		term.mu.Unlock()
		if err != nil {
			return // EIO: the command has ended
		}
	}
}

// resize changes the size of the terminal, which the kernel tells who is there (SIGWINCH).
func (term *terminal) resize(columns, rows int) {
	term.t.Helper()
	size := unix.Winsize{Col: uint16(columns), Row: uint16(rows)}
	if err := unix.IoctlSetWinsize(int(term.master.Fd()), unix.TIOCSWINSZ, &size); err != nil {
		term.t.Fatal(err)
	}
}

// shown is everything that was written so far.
func (term *terminal) shown() string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.text.String()
}

// frames are what was drawn from the beginning of the screen, each without the colours, but for the last one, which may
// not be complete.
func (term *terminal) frames() []string {
	all := strings.Split(term.shown(), "\x1b[H")
	return all[1:max(1, len(all)-1)]
}

// interrupt types Ctrl-C, waits for the end, and returns the exit code.
func (term *terminal) interrupt() int {
	term.t.Helper()
	if _, err := term.master.Write([]byte{3}); err != nil {
		term.t.Fatal(err)
	}
	err := term.command.Wait()
	<-term.done
	if err != nil {
		term.t.Logf("%v", err)
	}
	return term.command.ProcessState.ExitCode()
}

// On a terminal the status is drawn in place, as large as that is, in colour unless the user does not want it; and the
// terminal is left as it was.
func TestWatch(t *testing.T) {
	r := harness.New(t, "copy")
	apps := []harness.App{{Name: "web", Targets: harness.To(r.Identify("here"))}}
	for i := range 20 {
		apps = append(apps, harness.App{Name: fmt.Sprintf("app-%d", i), Targets: []any{r.Refuse()}})
	}
	s := see(r, harness.Config{Apps: apps})
	if _, err := r.Ask(s.Address()); err != nil {
		t.Fatal(err)
	}
	watch := func(environment ...string) *terminal {
		t.Helper()
		command := exec.Command(harness.Binary(), "status", "--watch", "--socket", s.socket)
		command.Env = append(append(os.Environ(), "TERM=xterm", "NO_COLOR="), environment...)
		return open(t, 80, 24, command)
	}
	fits := func(frame string, columns, rows int) bool {
		lines := strings.Split(frame, "\r\n")
		for _, line := range lines {
			if n := len([]rune(colours.Replace(line))); n > columns {
				return false
			}
		}
		return len(lines) == rows && strings.Contains(lines[len(lines)-1], "more lines: name an app to see it alone")
	}
	term := watch()
	harness.Eventually(t, "some frames", func() bool { return len(term.frames()) >= 2 })
	for _, frame := range term.frames() {
		if !fits(frame, 80, 24) {
			t.Errorf("a frame does not fit 80 by 24: %q", frame)
		}
	}
	term.resize(62, 40)
	harness.Eventually(t, "frames of the new size", func() bool {
		frames := term.frames()
		return fits(frames[len(frames)-1], 62, 40)
	})
	if code := term.interrupt(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	text := term.shown()
	if !strings.HasPrefix(text, "\x1b[?1049h\x1b[?25l\x1b[H") || !strings.HasSuffix(strings.TrimSuffix(text, "^C"), "\x1b[?25h\x1b[?1049l") {
		t.Errorf("the terminal is not entered and left: %q", text)
	}
	if !strings.Contains(text, "\x1b[32malive") {
		t.Error("there is no colour")
	}

	for _, without := range []string{"NO_COLOR=1", "TERM=dumb"} {
		term = watch(without)
		harness.Eventually(t, "some frames", func() bool { return len(term.frames()) >= 1 })
		if text := term.shown(); strings.Contains(text, "\x1b[32m") || !strings.Contains(text, "alive") {
			t.Errorf("with %s: %q", without, text)
		}
		term.interrupt()
	}

	// A proxy that goes away is said to be gone, and shown again when it is back.
	term = watch()
	harness.Eventually(t, "a frame", func() bool { return strings.Contains(term.shown(), "web") })
	s.Kill()
	harness.Eventually(t, "it is said to be gone", func() bool { return strings.Contains(term.shown(), "tcp-proxy is not running") })
	gone := len(term.frames())
	r.Start(s.config)
	harness.Eventually(t, "it is shown again", func() bool {
		frames := term.frames()
		return len(frames) > gone && strings.Contains(frames[len(frames)-1], "serving")
	})
	term.interrupt()
}

// colours takes the escapes out of a line that the status has.
var colours = strings.NewReplacer("\x1b[0m", "", "\x1b[1m", "", "\x1b[2m", "", "\x1b[31m", "", "\x1b[32m", "", "\x1b[33m", "", "\x1b[K", "", "\x1b[J", "")

// Where there is no terminal, one status follows the other, and a proxy that goes away is said to be gone.
func TestWatchWithoutATerminal(t *testing.T) {
	r := harness.New(t, "copy")
	s := see(r, harness.Config{Apps: []harness.App{{Name: "web", Targets: harness.To(r.Identify("here"))}}})
	command := exec.Command(harness.Binary(), "status", "--watch", "--socket", s.socket)
	pipe, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var text strings.Builder
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buffer := make([]byte, 4096)
		for {
			n, err := pipe.Read(buffer)
			mu.Lock()
			text.Write(buffer[:n])
			mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	says := func(what string, times int) {
		t.Helper()
		harness.Eventually(t, "it says "+what, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return strings.Count(text.String(), what) >= times
		})
	}
	says("\nweb ", 2)
	if code := s.Stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	says("tcp-proxy is not running", 2)
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-ended
	if err := command.Wait(); err != nil {
		t.Error(err)
	}
	if strings.Contains(text.String(), "\x1b") {
		t.Errorf("there are escapes: %q", text.String())
	}
}
