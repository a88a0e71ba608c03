package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stopTime is how long a process may take to end after SIGTERM, before it is killed.
const stopTime = 2 * time.Second

// child is a process that the bench started. It dies with the bench.
type child struct {
	name   string
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	lines  chan string // its standard output; closed at its end
	stderr tail
	done   chan struct{} // closed when it was waited for
}

// startChild starts a command in its own process group, so that the terminal's interrupt goes to the bench alone. It
// must be called on the main thread, whose network namespace the child gets and whose end kills it. A nil credential
// means the bench's own user. The command's extra files are closed here. The caller stops the child.
func startChild(name string, cmd *exec.Cmd, credential *syscall.Credential) (*child, error) {
	c := &child{name: name, cmd: cmd, lines: make(chan string, 64), done: make(chan struct{})}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: credential}
	cmd.Stderr = &c.stderr
	defer func() {
		for _, f := range cmd.ExtraFiles {
			f.Close()
		}
	}()
	var err error
	if c.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go c.collect(out)
	return c, nil
}

// startPart starts the bench itself as one of its parts, as a process of one busy thread.
func startPart(part string, order any) (*child, error) {
	arg, err := json.Marshal(order)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("/proc/self/exe", part, string(arg))
	cmd.Env = append(os.Environ(), "GOGC=off", "GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1")
	return startChild(strings.TrimPrefix(part, "part:"), cmd, nil)
}

// collect passes lines on and waits for the process; it ends with the process. Lines that nobody takes are dropped.
func (c *child) collect(out io.Reader) {
	scan := bufio.NewScanner(out)
	for scan.Scan() {
		select {
		case c.lines <- scan.Text():
		default:
		}
	}
	c.cmd.Wait()
	close(c.done)
	close(c.lines)
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// errEnded says how a process ended that should not have.
func (c *child) errEnded() error {
	said := c.stderr.String()
	if said == "" {
		said = c.cmd.ProcessState.String()
	}
	return fmt.Errorf("%s ended: %s", c.name, said)
}

// line returns the next line of standard output.
func (c *child) line(ctx context.Context) (string, error) {
	select {
	case l, ok := <-c.lines:
		if !ok {
			return "", c.errEnded()
		}
		return l, nil
	case <-ctx.Done():
		return "", fmt.Errorf("wait for %s: %w", c.name, ctx.Err())
	}
}

// answer decodes the next line of standard output, JSON, into v.
func (c *child) answer(ctx context.Context, v any) error {
	l, err := c.line(ctx)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(l), v); err != nil {
		return fmt.Errorf("%s said %q: %w", c.name, l, err)
	}
	return nil
}

func (c *child) command(b byte) error {
	if _, err := c.stdin.Write([]byte{b}); err != nil {
		return fmt.Errorf("command %s: %w", c.name, err)
	}
	return nil
}

// stop ends the process, and those of its family that outlive it, and returns when it was waited for. It may be called
// again.
func (c *child) stop(family ...process) {
	c.stdin.Close()
	c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.done:
	case <-time.After(stopTime):
		c.cmd.Process.Kill()
	}
	for _, p := range family {
		if p.pid != c.pid() && p.alive() {
			syscall.Kill(p.pid, syscall.SIGKILL)
		}
	}
	<-c.done
}

// tail is a writer that keeps the last few lines.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, b...)
	if over := len(t.kept) - 2000; over > 0 {
		t.kept = t.kept[over:]
	}
	return len(b), nil
}

// String returns what was kept, on one line.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.ReplaceAll(bytes.TrimSpace(t.kept), []byte("\n"), []byte("; ")))
}

// credentialOf looks up whom contestants run as: nil for the bench's own user, which is also the answer if the bench
// is not root.
func credentialOf(name string) (*syscall.Credential, error) {
	if name == "" || os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("user %s: %w", name, err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
