package traffic

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"tcp-proxy/tests/harness"
)

// sshd starts a server with keys and a configuration of its own. It returns where it listens, and the options with which
// a client gets in, and knows the server, at any other address.
func sshd(t *testing.T, r *harness.Rig) (address string, options []string) {
	t.Helper()
	home := folder(r, "ssh", nil)
	hostKey, userKey := filepath.Join(home, "host"), filepath.Join(home, "user")
	for _, key := range []string{hostKey, userKey} {
		run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
	}
	public, err := os.ReadFile(hostKey + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	known := write(t, append([]byte("server "), public...), home, "known")

	separationFolder(t)
	address = r.Address()
	config := write(t, fmt.Appendf(nil, `
ListenAddress %s
HostKey %s
PidFile none
AuthorizedKeysFile %s.pub
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
PermitUserRC no
PrintMotd no
MaxStartups 100
`, address, hostKey, userKey), home, "sshd_config")
	serve(t, exec.Command(program(t, "sshd"), "-D", "-e", "-f", config), address, syscall.SIGTERM)

	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return address, []string{"-F", "none", "-o", "BatchMode=yes", "-o", "HostKeyAlias=server", "-o", "StrictHostKeyChecking=yes",
		"-o", "UserKnownHostsFile=" + known, "-o", "IdentitiesOnly=yes", "-i", userKey, "-l", me.Username}
}

// separationFolder makes the folder that an sshd of root insists on, if the machine has none; the end of the test
// removes it then.
func separationFolder(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	const path = "/run/sshd"
	switch err := os.Mkdir(path, 0o755); {
	case err == nil:
		t.Cleanup(func() { os.Remove(path) })
	case !errors.Is(err, fs.ErrExist):
		t.Fatal(err)
	}
}

func TestSSH(t *testing.T) {
	harness.EachEngineAlone(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		server, options := sshd(t, r)
		p := through(r, server)
		host, port, err := net.SplitHostPort(p.Address())
		if err != nil {
			t.Fatal(err)
		}
		options = append(options, "-p", port)

		ctx, cancel := context.WithTimeout(t.Context(), harness.Timeout)
		defer cancel()
		ssh := func(input []byte, command string) harness.Result {
			client := exec.CommandContext(ctx, program(t, "ssh"), append(slices.Clone(options), host, command)...)
			client.Stdin = bytes.NewReader(input)
			return harness.RunCommand(t, client)
		}
		data := harness.Bytes(1, 30_000_001)
		if got := ssh(data, "cat"); got.Code != 0 || got.Stdout != string(data) {
			t.Errorf("cat: exit code %d and %d bytes, which are not those that were sent\n%s", got.Code, len(got.Stdout), got.Stderr)
		}
		if got := ssh(nil, "exit 7"); got.Code != 7 {
			t.Errorf("exit code %d, want 7\n%s", got.Code, got.Stderr)
		}

		// A tree up and down again.
		tree, remote, back := folder(r, "tree", nil), r.Path("remote"), r.Path("back")
		grow(t, tree)
		shell := strings.Join(append([]string{program(t, "ssh")}, options...), " ")
		run(t, "rsync", "--archive", "--rsh", shell, tree+"/", host+":"+remote)
		run(t, "rsync", "--archive", "--compress", "--rsh", shell, host+":"+remote+"/", back)
		want := sums(t, tree)
		if len(want) < 100 {
			t.Fatalf("the tree has %d files", len(want))
		}
		for _, copied := range []string{remote, back} {
			if got := sums(t, copied); !maps.Equal(got, want) {
				t.Errorf("%s: %d files, not the %d of the tree", copied, len(got), len(want))
			}
		}
		checkRecords(t, p, 4)
	})
}

// grow makes files of many sizes in folders of some depth, and links.
func grow(t *testing.T, tree string) {
	t.Helper()
	for i := range 120 {
		folder := filepath.Join(tree, fmt.Sprint("a", i%3), fmt.Sprint("b", i%7), fmt.Sprint("c", i%2))
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, harness.Bytes(uint64(i), i*i*7), folder, fmt.Sprint("file", i))
	}
	write(t, harness.Bytes(1000, 20_000_003), tree, "large")
	if err := os.Symlink("large", filepath.Join(tree, "link")); err != nil {
		t.Fatal(err)
	}
}

// sums returns what every file of a tree holds, by its path in it.
func sums(t *testing.T, tree string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	err := filepath.WalkDir(tree, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name := strings.TrimPrefix(path, tree)
		if entry.Type()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(path)
			found[name] = "link to " + target
			return err
		}
		data, err := os.ReadFile(path)
		found[name] = fmt.Sprintf("%x", sha256.Sum256(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
