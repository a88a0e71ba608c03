package systemd

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func init() {
	// discard takes the sockets and gives up what was stored; then it prints the names of the stored descriptors, and the
	// errors.
	roles["discard"] = func() {
		manager, err := NewNotifier()
		if err != nil {
			fmt.Println(err)
		}
		sockets, stored, err := Sockets()
		fmt.Println(len(sockets), stored.Names(), err)
		if err := stored.Discard(manager); err != nil {
			fmt.Println(err)
		}
		for fd := 4; fd <= 7; fd++ {
			if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
				fmt.Println("open:", fd)
			}
		}
	}
}

// What another release has stored is no error. It is removed from the store and closed; the peer sees that.
func TestStoredDescriptors(t *testing.T) {
	_, socket := listening(t, "tcp", "127.0.0.1:0")
	_, named := listening(t, "tcp", "127.0.0.1:0") // of a socket unit with FileDescriptorName=stored
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	defer ours.Close()
	defer theirs.Close()
	memory, err := unix.MemfdCreate("ledger", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	ledger := os.NewFile(uintptr(memory), "ledger")
	defer ledger.Close()

	address := filepath.Join(t.TempDir(), "notify")
	heard := manager(t, address)
	got := play(t, "discard", []*os.File{socket, theirs, theirs, ledger, ledger, named}, "LISTEN_PID=$$", "LISTEN_FDS=6",
		"LISTEN_FDNAMES=web:handover-0:handover-0:handover-ledger:stored:stored", "NOTIFY_SOCKET="+address)
	if want := "2 [handover-0 handover-ledger stored] <nil>\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	want := []string{"FDSTOREREMOVE=1\nFDNAME=handover-0", "FDSTOREREMOVE=1\nFDNAME=handover-ledger", "FDSTOREREMOVE=1\nFDNAME=stored"}
	if got := heard(); !slices.Equal(got, want) {
		t.Errorf("the manager hears %q, want %q", got, want)
	}
	theirs.Close()
	ours.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := ours.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("the peer of what was stored reads %d bytes, %v", n, err)
	}
}

// A descriptor with another name has to be a socket that listens, also if systemd has stored it.
func TestDescriptorsThatAreNotStored(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	got := play(t, "take", []*os.File{fileOf(t, conn), null}, "LISTEN_PID=$$", "LISTEN_FDS=2", "LISTEN_FDNAMES=handed:handover-0")
	want := `socket from systemd: descriptor 3, named "handed", is a datagram socket: use ListenStream=, not ListenDatagram=
socket from systemd: descriptor 4, named "handover-0", is not a socket
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
