package systemd

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func init() {
	// take prints the sockets, or the error, and what is left in the environment; then it answers one connection on
	// each socket with the socket's name.
	roles["take"] = func() {
		sockets, stored, err := Sockets()
		if err != nil {
			fmt.Println(err)
		}
		for _, name := range stored.Names() {
			fmt.Println("stored:", name)
		}
		for _, s := range sockets {
			fmt.Println(s.Name, s.Listener.Addr().Network())
		}
		for _, name := range handedOver {
			if value, ok := os.LookupEnv(name); ok {
				fmt.Println("left:", name, value)
			}
		}
		for _, s := range sockets {
			conn, err := s.Listener.Accept()
			if err != nil {
				panic(err)
			}
			fmt.Fprint(conn, s.Name)
			conn.Close()
			s.Listener.Close()
		}
	}
}

func listening(t *testing.T, network, address string) (net.Listener, *os.File) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, fileOf(t, l)
}

func fileOf(t *testing.T, conn any) *os.File {
	t.Helper()
	file, err := conn.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}

func TestSocketsOfEveryKind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	v4, v4File := listening(t, "tcp4", "127.0.0.1:0")
	v6, v6File := listening(t, "tcp6", "[::1]:0")
	local, localFile := listening(t, "unix", path)

	answers := make(chan string)
	for _, l := range []net.Listener{v4, v6, local} {
		go func() {
			conn, err := net.DialTimeout(l.Addr().Network(), l.Addr().String(), 10*time.Second)
			if err != nil {
				answers <- err.Error()
				return
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			answer, _ := io.ReadAll(conn)
			answers <- string(answer)
		}()
	}
	printed := play(t, "take", []*os.File{v4File, v6File, localFile},
		"LISTEN_PID=$$", "LISTEN_FDS=3", "LISTEN_FDNAMES=web:web:admin")
	if want := "web tcp\nweb tcp\nadmin unix\n"; printed != want {
		t.Errorf("the process took\n%swant\n%s", printed, want)
	}
	got := map[string]int{}
	for range 3 {
		got[<-answers]++
	}
	if got["web"] != 2 || got["admin"] != 1 {
		t.Errorf("answers of the sockets: %v", got)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the path of systemd's unix socket is gone: %v", err)
	}
}

func TestSocketsForAnotherProcess(t *testing.T) {
	_, file := listening(t, "tcp", "127.0.0.1:0")
	if got := play(t, "take", []*os.File{file}, "LISTEN_PID=1", "LISTEN_FDS=1", "LISTEN_FDNAMES=web"); got != "" {
		t.Errorf("sockets that are meant for process 1 gave %q", got)
	}
	if got := play(t, "take", []*os.File{file}); got != "" {
		t.Errorf("no sockets gave %q", got)
	}
}

func TestSocketsThatAreWrong(t *testing.T) {
	_, good := listening(t, "tcp", "127.0.0.1:0")
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	silent := os.NewFile(uintptr(fd), "silent")
	defer silent.Close()
	seq, err := net.Listen("unixpacket", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer seq.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()

	got := play(t, "take", []*os.File{good, fileOf(t, packets), silent, null, fileOf(t, seq)},
		"LISTEN_PID=$$", "LISTEN_FDS=5", "LISTEN_FDNAMES=good:packets:silent:null:seq")
	want := []string{
		`descriptor 4, named "packets", is a datagram socket: use ListenStream=, not ListenDatagram=`,
		`descriptor 5, named "silent", does not listen: set Accept=no in its socket unit`,
		`descriptor 6, named "null", is not a socket`,
		`descriptor 7, named "seq", is not a stream socket: use ListenStream=`,
	}
	for i, w := range want {
		want[i] = "socket from systemd: " + w
	}
	if w := strings.Join(want, "\n") + "\n"; got != w {
		t.Errorf("got\n%swant\n%s", got, w)
	}
}

func TestSocketsWithAGap(t *testing.T) {
	_, good := listening(t, "tcp", "127.0.0.1:0")
	got := play(t, "take", []*os.File{good, nil, good}, "LISTEN_PID=$$", "LISTEN_FDS=3", "LISTEN_FDNAMES=a:b:c")
	// What the kernel or the Go runtime has put into the gap is not known.
	if !strings.HasPrefix(got, `socket from systemd: descriptor 4, named "b", is not `) || strings.Count(got, "\n") != 1 {
		t.Errorf("got %q", got)
	}
	for _, count := range []string{"1x", "-1", "2147483647", "99999999999999999999"} {
		got = play(t, "take", []*os.File{good}, "LISTEN_PID=$$", "LISTEN_FDS="+count)
		if want := "sockets from systemd: LISTEN_FDS is \"" + count + "\", which is not a number of sockets\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
