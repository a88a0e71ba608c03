package traffic

import (
	"bytes"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"tcp-proxy/tests/harness"
)

// serve starts a server that stays in the foreground, and waits until it listens at the address. The end of the test ends
// it with the signal.
func serve(t *testing.T, command *exec.Cmd, address string, end syscall.Signal) {
	t.Helper()
	output := new(output)
	command.Stdout, command.Stderr = output, output
	if command.SysProcAttr == nil {
		command.SysProcAttr = new(syscall.SysProcAttr)
	}
	command.SysProcAttr.Pdeathsig = syscall.SIGKILL // no server outlives a test run that is killed
	command.WaitDelay = time.Second                 // for children that hold the output open
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = command.Wait() // the signal, as a rule
		close(ended)
	}()
	t.Cleanup(func() {
		_ = command.Process.Signal(end) // or it has ended
		select {
		case <-ended:
		case <-time.After(harness.Timeout / 4):
			t.Errorf("%s does not end", command.Path)
			_ = command.Process.Kill() // or it has ended
			<-ended
		}
		if t.Failed() {
			t.Logf("%s:\n%s", command.Path, output)
		}
	})
	harness.Eventually(t, command.Path+" listens", func() bool {
		select {
		case <-ended:
			t.Fatalf("%s has ended: %v\n%s", command.Path, command.ProcessState, output)
		default:
		}
		return harness.Listening(t, address)
	})
}

// output is what a server writes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(data []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(data)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// folder makes a folder of the rig that belongs to the user, or to whoever runs the test if that is nil.
func folder(r *harness.Rig, name string, owner *syscall.Credential) string {
	r.T.Helper()
	path := r.Path(name)
	if err := os.Mkdir(path, 0o700); err != nil {
		r.T.Fatal(err)
	}
	if owner != nil {
		if err := os.Chown(path, int(owner.Uid), int(owner.Gid)); err != nil {
			r.T.Fatal(err)
		}
	}
	return path
}

// write writes a file of a folder and returns its path.
func write(t *testing.T, data []byte, path ...string) string {
	t.Helper()
	file := filepath.Join(path...)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// unprivileged returns a user for servers that refuse to run as root; nil if the test is not run by root.
func unprivileged(t *testing.T, name string) *syscall.Credential {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	found, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, err1 := strconv.ParseUint(found.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(found.Gid, 10, 32)
	if err1 != nil || err2 != nil {
		t.Fatalf("user %s has uid %s and gid %s", name, found.Uid, found.Gid)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}
