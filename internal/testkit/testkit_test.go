package testkit

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestWithinChecksAtTheLimit(t *testing.T) {
	checks := 0
	if Within(0, func() bool { checks++; return false }) || checks < 1 {
		t.Errorf("%d checks", checks)
	}
	begun := time.Now()
	if !Within(20*time.Millisecond, func() bool { return time.Since(begun) >= 20*time.Millisecond }) {
		t.Error("the condition is not checked at the limit")
	}
}

func TestFailuresSayHowFarItGot(t *testing.T) {
	text := describe([]func() any{func() any { return 3 }, func() any { return "sessions" }})
	if text != "; 3; sessions" {
		t.Errorf("%q", text)
	}
}

func TestReceive(t *testing.T) {
	c := make(chan int, 1)
	c <- 7
	if n := Receive(t, "a number", c); n != 7 {
		t.Errorf("%d", n)
	}
	close(c)
	if n := Receive(t, "the end", c); n != 0 {
		t.Errorf("%d of a closed channel", n)
	}
}

func TestDescriptors(t *testing.T) {
	before := CountDescriptors(t, "pipe")
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer out.Close()
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(epoll)
	if n := CountDescriptors(t, "pipe") - before; n != 2 {
		t.Errorf("%d descriptors more of a pipe", n)
	}
	found := false
	for _, d := range OpenDescriptors(t, "[eventpoll]") {
		found = found || d.Number == epoll
	}
	if !found {
		t.Error("the epoll instance is not found")
	}
	if all := CountDescriptors(t); all < before+3 {
		t.Errorf("%d descriptors in all", all)
	}
}

// A connect to a black hole hangs; once it is open it succeeds, and once it is closed it is refused.
func TestBlackhole(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		t.Run(host, func(t *testing.T) {
			b := NewBlackhole(t, net.JoinHostPort(host, "0"))
			var timeout net.Error
			if _, err := net.DialTimeout("tcp", b.Addr.String(), 100*time.Millisecond); !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Fatalf("a connect ends with %v", err)
			}
			dialed := make(chan error, 1)
			var client net.Conn
			go func() {
				var err error
				client, err = net.DialTimeout("tcp", b.Addr.String(), Timeout)
				dialed <- err
			}()
			Eventually(t, "the kernel sends a SYN", func() bool { return connecting(t, b) })
			c := b.Open()
			if err := Receive(t, "the connect", dialed); err != nil {
				t.Fatal(err)
			}
			if client.LocalAddr().String() != c.RemoteAddr().String() {
				t.Errorf("%v came, %v connected", c.RemoteAddr(), client.LocalAddr())
			}
			if err := Reset(c); err != nil {
				t.Error(err)
			}
			if _, err := client.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
				t.Errorf("read: %v, want a reset", err)
			}
			client.Close()
			b.Close()
			if _, err := net.Dial("tcp", b.Addr.String()); !errors.Is(err, unix.ECONNREFUSED) {
				t.Errorf("a connect to a closed one ends with %v", err)
			}
		})
	}
}

// connecting reports whether a socket of this machine is in SYN_SENT to the black hole (proc_net_tcp(5)).
func connecting(t *testing.T, b *Blackhole) bool {
	t.Helper()
	table := "/proc/net/tcp"
	if b.Addr.Addr().Is6() {
		table = "/proc/net/tcp6"
	}
	text, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	const synSent = "02"
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if fields[3] == synSent && strings.HasSuffix(fields[2], fmt.Sprintf(":%04X", b.Addr.Port())) {
			return true
		}
	}
	return false
}

func TestApart(t *testing.T) {
	Apart(t, func(t *testing.T) {
		if starts() {
			t.Error("the test runs in the process of the others")
		}
	})
}

func TestVerdict(t *testing.T) {
	const out = "=== RUN   TestA/b\n    --- FAIL: TestA/b (0.00s)\n        --- PASS: TestA/b/c (0.00s)\n--- SKIP: TestA2 (0.1s)\n"
	for name, want := range map[string]string{"TestA/b": "FAIL", "TestA/b/c": "PASS", "TestA2": "SKIP", "TestA": "", "TestA/c": ""} {
		if got := verdict(name, out); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := only("TestA/b[1]"); !strings.HasPrefix(got, `^TestA$/^b\[1\]$`) {
		t.Errorf("%q", got)
	}
}

// Port returns a port once, and one that is free at every address.
func TestPort(t *testing.T) {
	seen := map[uint16]bool{}
	for range 50 {
		port := Port(t)
		if seen[port] {
			t.Fatalf("%d comes twice", port)
		}
		seen[port] = true
		for _, address := range []string{"127.0.0.1", "0.0.0.0", "[::]"} {
			l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", address, port))
			if err != nil {
				t.Fatal(err)
			}
			l.Close()
		}
	}
}
