package linux

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"tcp-proxy/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func listenTCP(t *testing.T) *net.TCPListener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener)
}

// pair returns the two ends of a TCP connection, closed at the end of the test.
func pair(t *testing.T) (client, server *net.TCPConn) {
	t.Helper()
	l := listenTCP(t)
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

func raw(t *testing.T, c syscall.Conn) syscall.RawConn {
	t.Helper()
	r, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func option(t *testing.T, conn syscall.RawConn, level, name int) (value int) {
	t.Helper()
	var optErr error
	err := conn.Control(func(fd uintptr) { value, optErr = unix.GetsockoptInt(int(fd), level, name) })
	if err := errors.Join(err, optErr); err != nil {
		t.Fatal(err)
	}
	return value
}

func TestKeepaliveIsInheritedFromTheListener(t *testing.T) {
	l := listenTCP(t)
	want := Keepalive{Enabled: true, Idle: 61 * time.Second, Interval: 16 * time.Second, Count: 5}
	err := raw(t, l).Control(func(fd uintptr) {
		if err := SetKeepalive(int(fd), want); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fd, _, err := accept(l)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for name, o := range map[string]struct{ level, name, want int }{
		"SO_KEEPALIVE":  {unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		"TCP_KEEPIDLE":  {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 61},
		"TCP_KEEPINTVL": {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 16},
		"TCP_KEEPCNT":   {unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 5},
	} {
		if got, err := unix.GetsockoptInt(fd, o.level, o.name); err != nil || got != o.want {
			t.Errorf("%s of an accepted socket is %d (%v), want %d", name, got, err, o.want)
		}
	}
}

// accept accepts a connection without the options that package net sets.
func accept(l *net.TCPListener) (fd int, from unix.Sockaddr, err error) {
	file, err := l.File()
	if err != nil {
		return 0, nil, err
	}
	defer file.Close()
	if !testkit.Within(testkit.Timeout, func() bool {
		fd, from, err = unix.Accept4(int(file.Fd()), unix.SOCK_CLOEXEC)
		return !errors.Is(err, unix.EAGAIN)
	}) {
		return 0, nil, os.ErrDeadlineExceeded
	}
	return fd, from, err
}

func TestKeepaliveOff(t *testing.T) {
	c, _ := pair(t)
	r := raw(t, c)
	if option(t, r, unix.SOL_SOCKET, unix.SO_KEEPALIVE) == 0 {
		t.Fatal("package net has it off already")
	}
	if err := r.Control(func(fd uintptr) {
		if err := SetKeepalive(int(fd), Keepalive{}); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if option(t, r, unix.SOL_SOCKET, unix.SO_KEEPALIVE) != 0 {
		t.Error("still on")
	}
}

func TestQuietStartsAgainWithData(t *testing.T) {
	const pause, tick = 60 * time.Millisecond, 20 * time.Millisecond // tick: twice the coarsest one of a kernel
	c, s := pair(t)
	send := func(from, to *net.TCPConn) {
		t.Helper()
		if _, err := from.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(to, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	for _, from := range []*net.TCPConn{c, s} {
		to := s
		if from == s {
			to = c
		}
		send(from, to)
		sent := time.Now()
		awaitQuiet(t, s, func(q time.Duration) bool { return q >= pause })
		if since := time.Since(sent); since < pause-tick {
			t.Errorf("quiet for %v after %v", pause, since)
		}
		send(from, to)
		awaitQuiet(t, s, func(q time.Duration) bool { return q < pause })
	}
}

func awaitQuiet(t *testing.T, c *net.TCPConn, ok func(time.Duration) bool) {
	t.Helper()
	var q time.Duration
	testkit.Eventually(t, "it is as quiet as it should be", func() bool {
		var err error
		if q, err = Quiet(raw(t, c)); err != nil {
			t.Fatal(err)
		}
		return ok(q)
	}, func() any { return q })
}

func TestQuietOfWhatIsNotTCP(t *testing.T) {
	l, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Quiet(raw(t, l.(*net.UnixListener))); err == nil {
		t.Error("a unix socket has a TCP_INFO")
	}
	c, _ := pair(t)
	r := raw(t, c)
	c.Close()
	if _, err := Quiet(r); err == nil {
		t.Error("a closed socket has a TCP_INFO")
	}
}

func TestBroken(t *testing.T) {
	c, s := pair(t)
	r := raw(t, s)
	if Broken(r) {
		t.Fatal("broken at once")
	}
	c.CloseWrite()
	if _, err := s.Read(make([]byte, 1)); err != io.EOF {
		t.Fatal(err)
	}
	if Broken(r) {
		t.Fatal("a half-close breaks nothing")
	}
	testkit.Reset(c)
	testkit.Eventually(t, "a reset breaks it", func() bool { return Broken(r) })
}

func TestErrorMonitorSeesAReset(t *testing.T) {
	w, err := NewErrorMonitor()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	c, s := pair(t)
	broken := make(chan string, 4)
	remove, err := w.Add(raw(t, s), func() { broken <- "reset" }, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer remove()
	polite, other := pair(t)
	removeOther, err := w.Add(raw(t, other), func() { broken <- "closed in good order" }, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer removeOther()
	polite.Close()
	other.CloseWrite()
	testkit.Reset(c)
	if what := testkit.Receive(t, "the reset is seen", broken); what != "reset" {
		t.Errorf("called back for one that was %s", what)
	}
}

// Urgent data is reported once, and a later reset, too.
func TestErrorMonitorSeesUrgentData(t *testing.T) {
	w, err := NewErrorMonitor()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	c, s := pair(t)
	told := make(chan string, 8)
	remove, err := w.Add(raw(t, s), func() { told <- "broken" }, func() { told <- "urgent" })
	if err != nil {
		t.Fatal(err)
	}
	defer remove()
	for range 3 {
		if _, err := c.Write([]byte("ordinary")); err != nil {
			t.Fatal(err)
		}
		raw(t, c).Control(func(fd uintptr) { err = unix.Send(int(fd), []byte("!"), unix.MSG_OOB) })
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"urgent", "broken"} {
		if got := testkit.Receive(t, want+" is reported", told); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
		testkit.Reset(c) // twice, of which the second fails
	}
}

func TestErrorMonitorRemoves(t *testing.T) {
	w, err := NewErrorMonitor()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	c, s := pair(t)
	remove, err := w.Add(raw(t, s), func() { t.Error("called back after remove") }, nil)
	if err != nil {
		t.Fatal(err)
	}
	remove()
	c2, s2 := pair(t)
	seen := make(chan struct{})
	if _, err := w.Add(raw(t, s2), func() { close(seen) }, nil); err != nil {
		t.Fatal(err)
	}
	for _, x := range []*net.TCPConn{c, c2} { // in this order: when the second is reported, the first was, too
		testkit.Reset(x)
	}
	testkit.Receive(t, "the other's reset is seen", seen)
	closed, _ := pair(t)
	r := raw(t, closed)
	closed.Close()
	if _, err := w.Add(r, nil, nil); err == nil {
		t.Error("a closed socket can be watched")
	}
}

func TestReady(t *testing.T) {
	l := listenTCP(t)
	early, err := net.Dial("tcp", l.Addr().String()) // before NewReady
	if err != nil {
		t.Fatal(err)
	}
	defer early.Close()
	r, err := NewReady(l)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := r.Wait(); err != nil {
			t.Fatal(err)
		}
		if err := r.Wait(); err != nil { // it is still there
			t.Fatal(err)
		}
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		if i < 2 {
			go func() {
				if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
					c.Close()
				}
			}()
		}
	}
	ended := make(chan error)
	go func() { ended <- r.Wait() }()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := testkit.Receive(t, "Close ends Wait", ended); err == nil {
		t.Error("a connection to accept after Close")
	}
}

func TestHolders(t *testing.T) {
	holder := func(at netip.AddrPort) string { return Holders([]netip.AddrPort{at})[0] }
	l := listenTCP(t)
	at := l.Addr().(*net.TCPAddr).AddrPort()
	mine := fmt.Sprintf("PID %d", os.Getpid())
	for _, in := range []netip.AddrPort{at, netip.AddrPortFrom(netip.Addr{}, at.Port()), netip.AddrPortFrom(netip.IPv4Unspecified(), at.Port())} {
		var got string
		testkit.Eventually(t, fmt.Sprintf("%v is held by %s", in, mine), func() bool {
			got = holder(in) // a machine that is busy may not have the time to find the process
			return strings.HasSuffix(got, mine)
		}, func() any { return got })
	}
	other := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), at.Port())
	if got := holder(other); strings.HasSuffix(got, mine) {
		t.Errorf("%v: %q, which listens on %v", other, got, at)
	}
	l.Close()
	if got := holder(at); got != "" {
		t.Errorf("nobody listens, but %q", got)
	}
}

// A connection occupies its local port, a listener is reported first, and many holders are found in one call.
func TestHoldersOfConnections(t *testing.T) {
	l := listenTCP(t)
	out, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	held, listened := out.LocalAddr().(*net.TCPAddr).AddrPort(), l.Addr().(*net.TCPAddr).AddrPort()
	in, err := l.Accept() // its local address is the listener's
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	mine := fmt.Sprintf(", PID %d", os.Getpid())
	var got []string
	testkit.Eventually(t, "the holders are found", func() bool {
		got = Holders([]netip.AddrPort{held, listened, netip.AddrPortFrom(netip.Addr{}, held.Port()), netip.AddrPortFrom(netip.MustParseAddr("127.9.9.9"), held.Port())})
		return strings.HasSuffix(got[0], mine) && strings.HasSuffix(got[1], mine)
	}, func() any { return got })
	if !strings.HasPrefix(got[0], "an outgoing connection of ") || got[2] != got[0] {
		t.Errorf("%q and %q, want an outgoing connection of this process", got[0], got[2])
	}
	if strings.Contains(got[1], "connection") {
		t.Errorf("%q, want this process", got[1])
	}
	if got[3] != "" {
		t.Errorf("%q, which is in the way of nobody", got[3])
	}
	if text := (holder{kind: endedHolds}).text(""); !strings.Contains(text, "TIME_WAIT") {
		t.Error(text)
	}
	if got := Holders(nil); len(got) != 0 {
		t.Error(got)
	}
}

// The name of a process is any 15 bytes.
func TestOwnerText(t *testing.T) {
	if got := ownerText("a\x1b[2J\nready\x00\xff\n", "812"); got != `a\x1b[2J\nready\x00\xff, PID 812` {
		t.Error(got)
	}
}

func TestInTheWay(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"127.0.0.1:1", "127.0.0.1:1", true},
		{"127.0.0.1:1", "127.0.0.1:2", false},
		{"127.0.0.1:1", "127.0.0.2:1", false},
		{"0.0.0.0:1", "127.0.0.2:1", true},
		{"[::]:1", "127.0.0.2:1", true},
		{"0.0.0.0:1", "[::1]:1", false},
		{"[::1]:1", "[::1]:1", true},
	} {
		a, b := netip.MustParseAddrPort(c.a), netip.MustParseAddrPort(c.b)
		if conflict(a, b) != c.want || conflict(b, a) != c.want {
			t.Errorf("%s and %s: not %v", a, b, c.want)
		}
	}
	for text, want := range map[string]string{
		"0100007F:1F90": "127.0.0.1:8080", "00000000000000000000000001000000:0050": "[::1]:80",
	} {
		if got, ok := tableAddress(text); !ok || got.String() != want { // in the byte order of a little-endian machine
			t.Errorf("%s is %v, want %s", text, got, want)
		}
	}
}

func TestExhausted(t *testing.T) {
	for err, want := range map[error]bool{
		os.NewSyscallError("accept4", unix.EMFILE):                               true,
		&net.OpError{Op: "dial", Err: os.NewSyscallError("socket", unix.ENFILE)}: true,
		unix.ECONNREFUSED: false,
		io.EOF:            false,
	} {
		if Exhausted(err) != want {
			t.Errorf("%v: %v, want %v", err, !want, want)
		}
	}
}

func TestDescriptorLimit(t *testing.T) {
	limit, err := DescriptorLimit()
	if err != nil || limit == 0 {
		t.Errorf("%d, %v", limit, err)
	}
}

func TestPeekLeavesWhatItSees(t *testing.T) {
	c, s := pair(t)
	fd := descriptor(t, s)
	p := make([]byte, 8)
	if _, errno := Peek(fd, p); errno != unix.EAGAIN {
		t.Errorf("with nothing there: %v", errno)
	}
	c.Write([]byte("hello"))
	for range 2 {
		if n := repeat(t, func() (int, syscall.Errno) { return Peek(fd, p) }); string(p[:n]) != "hello" {
			t.Fatalf("%q", p[:n])
		}
	}
	if Pending(fd, unix.POLLRDHUP) {
		t.Error("hung up before")
	}
	c.CloseWrite()
	testkit.Eventually(t, "FIN behind what is to be read is seen", func() bool { return Pending(fd, unix.POLLRDHUP) })
	if n, errno := Receive(fd, p); string(p[:n]) != "hello" || errno != 0 {
		t.Errorf("%q, %v", p[:n], errno)
	}
	if n, errno := Peek(fd, p); n != 0 || errno != 0 {
		t.Errorf("at the end: %d, %v", n, errno)
	}
}

// descriptor is that of a connection, which the test keeps open.
func descriptor(t *testing.T, c syscall.Conn) (fd int) {
	t.Helper()
	if err := raw(t, c).Control(func(own uintptr) { fd = int(own) }); err != nil {
		t.Fatal(err)
	}
	return fd
}

// repeat repeats a call while it returns EAGAIN.
func repeat(t *testing.T, call func() (int, syscall.Errno)) (n int) {
	t.Helper()
	var errno syscall.Errno
	testkit.Eventually(t, "the call succeeds", func() bool { n, errno = call(); return errno != unix.EAGAIN })
	if errno != 0 {
		t.Fatal(errno)
	}
	return n
}

// The local address of a socket can be read after the connection has ended.
func TestLocalAddr(t *testing.T) {
	c, s := pair(t)
	fd := descriptor(t, s)
	want := c.RemoteAddr().String()
	expect := func() {
		t.Helper()
		if got, err := LocalAddr(fd); got.String() != want || err != nil {
			t.Errorf("%s, %v; want %s", got, err, want)
		}
	}
	expect()
	testkit.Reset(c)
	testkit.Eventually(t, "the reset comes", func() bool { return Pending(fd, unix.POLLRDHUP) })
	expect()

	l, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got, err := LocalAddr(descriptor(t, l.(*net.UnixListener))); err == nil {
		t.Errorf("a unix socket has the address %s", got)
	}
	if got, err := LocalAddr(-1); err == nil {
		t.Errorf("what is no socket has the address %s", got)
	}
}

// Acknowledged counts written bytes once they are acknowledged, Fetched those that were read.
func TestAcknowledgedAndFetched(t *testing.T) {
	c, s := pair(t)
	out, in := raw(t, c), raw(t, s)
	const syn = 1
	for i := range int64(3) {
		c.Write([]byte("0123456789"))
		testkit.EventuallyEqual(t, "acknowledged", func() int64 { return Acknowledged(out) }, syn+10*(i+1))
		testkit.EventuallyEqual(t, "fetched", func() int64 { return Fetched(in) }, 10*i)
		if _, err := io.ReadFull(s, make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
		testkit.EventuallyEqual(t, "fetched", func() int64 { return Fetched(in) }, 10*(i+1))
	}
	c.CloseWrite()
	if _, err := s.Read(make([]byte, 1)); err != io.EOF {
		t.Fatal(err)
	}
	testkit.EventuallyEqual(t, "fetched, after FIN,", func() int64 { return Fetched(in) }, 30)
	s.Close()
	if Acknowledged(in) != 0 || Fetched(in) != 0 {
		t.Error("a closed socket has counts")
	}
}
