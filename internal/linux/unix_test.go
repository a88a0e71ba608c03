package linux

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The socket of a process that has ended is replaced; a socket in use, or another kind of file, is not.
func TestListenUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	l, err := ListenUnix(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ListenUnix(path, 0); err != unix.EADDRINUSE {
		t.Errorf("a socket in use: %v", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // as if the process were killed
	l.Close()
	l, err = ListenUnix(path, 0o600)
	if err != nil {
		t.Fatalf("a socket left behind: %v", err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	l.Close()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket of a closed listener: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ListenUnix(path, 0); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("a file in the way: %v", err)
	}
}

// The socket is never accessible beyond its mode, not even between bind and chmod.
func TestListenUnixIsNeverWider(t *testing.T) {
	defer unix.Umask(unix.Umask(0))
	path := filepath.Join(t.TempDir(), "sock")
	l, err := ListenUnix(path, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var own unix.Stat_t
	if err := Control(l, func(fd int) error { return unix.Fstat(fd, &own) }); err != nil {
		t.Fatal(err)
	}
	if mode := own.Mode & 0o777; mode != 0o640 {
		t.Errorf("it was bound with mode %o", mode)
	}
}

// TestMain runs the test binary as this client: it connects, says so, and waits for the end of its input.
const clientOf = "LINUX_TEST_CLIENT_OF"

func init() {
	path := os.Getenv(clientOf)
	if path == "" {
		return
	}
	conn, err := net.Dial("unix", path)
	fmt.Println(err)
	bufio.NewReader(os.Stdin).ReadByte()
	if conn != nil {
		conn.Close()
	}
	os.Exit(0)
}

// PeerOf returns all groups of the peer.
func TestPeer(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be another user")
	}
	many := make([]uint32, 200)
	for i := range many {
		many[i] = uint32(70000 + i)
	}
	folder, err := os.MkdirTemp("", "peer")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "sock")
	l, err := ListenUnix(path, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(folder, "client")
	if err := os.WriteFile(program, self, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, want := range []Peer{
		{UID: 0, GID: 0}, {UID: 1234, GID: 2345}, {UID: 1234, GID: 2345, Groups: []uint32{3, 4}}, {UID: 1, GID: 1, Groups: many},
	} {
		client := exec.Command(program)
		client.Env = append(os.Environ(), clientOf+"="+path)
		client.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: want.UID, Gid: want.GID, Groups: want.Groups}}
		stdin, err := client.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := client.Start(); err != nil {
			t.Fatal(err)
		}
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		got, err := PeerOf(conn)
		want.PID = client.Process.Pid
		slices.Sort(got.Groups)
		if err != nil || got.PID != want.PID || got.UID != want.UID || got.GID != want.GID || !slices.Equal(got.Groups, want.Groups) {
			t.Errorf("peer %+v, %v; want %+v", got, err, want)
		}
		for _, gid := range append(slices.Clone(want.Groups), want.GID) {
			if !got.InGroup(gid) {
				t.Errorf("%d is not one of the groups", gid)
			}
		}
		if got.InGroup(99999) {
			t.Error("99999 is one of the groups")
		}
		conn.Close()
		stdin.Close()
		if err := client.Wait(); err != nil {
			t.Error(err)
		}
	}
	tcp, _ := pair(t)
	if _, err := PeerOf(tcp); err == nil {
		t.Error("a TCP connection has a peer that can be told")
	}
}
