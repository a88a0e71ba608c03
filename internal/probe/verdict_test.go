package probe

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/testkit"
	"tcp-proxy/internal/upstream"
)

// short is a time-out for those that are to run into it.
const short = 200 * time.Millisecond

// dribble sends a text byte by byte.
func dribble(text string) func(net.Conn) {
	return func(c net.Conn) {
		for i := range len(text) {
			_, _ = c.Write([]byte{text[i]})
			time.Sleep(time.Millisecond)
		}
		hang(c)
	}
}

// parts sends texts one after the other.
func parts(texts ...string) func(net.Conn) {
	return func(c net.Conn) {
		for _, text := range texts {
			_, _ = c.Write([]byte(text))
			time.Sleep(5 * time.Millisecond)
		}
		hang(c)
	}
}

// closes sends a text and closes.
func closes(text string) func(net.Conn) {
	return func(c net.Conn) { _, _ = c.Write([]byte(text)) }
}

// answering does that once it has been asked.
func answering(text string) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := c.Read(make([]byte, 4096)); err == nil {
			_, _ = c.Write([]byte(text))
		}
	}
}

// pong answers "PING\r\n" only.
func pong(c net.Conn) {
	line, _ := bufio.NewReader(c).ReadString('\n')
	if line != "PING\r\n" {
		_, _ = io.WriteString(c, "-ERR "+line)
		return
	}
	say("+PONG\r\n")(c)
}

func TestVerdicts(t *testing.T) {
	expect := func(text string) Config {
		p := always()
		p.Expect = text
		return p
	}
	ping := expect("+PONG")
	ping.Send = "PING\r\n"
	wrong := expect("+PONG")
	wrong.Send = "PONG\r\n"
	sends := always()
	sends.Send = strings.Repeat("x", 4096)
	get := always()
	get.HTTP = config.HTTPProbe{Path: "/", Low: 200, High: 399}
	exact := always()
	exact.HTTP = config.HTTPProbe{Path: "/", Low: 204, High: 204}
	in := func(p Config, limit time.Duration) Config {
		p.Timeout = limit
		return p
	}
	long := strings.Repeat("0123456789", 50)
	for _, c := range []struct {
		name     string
		handle   func(net.Conn)
		checking Config
		want     string // "": it passes
	}{
		{"connect", hang, always(), ""},
		{"connect to one that resets", func(c net.Conn) { abort(c) }, always(), ""},
		{"expect", say("220 mail ready\r\n"), expect("220 "), ""},
		{"expect, byte by byte", dribble("220 mail"), expect("220 mail"), ""},
		{"expect all there is, and the end", closes("220"), expect("220"), ""},
		{"expect zeros and high bytes", say("\x00\xff\x00more"), expect("\x00\xff\x00"), ""},
		{"expect much", parts(long[:10], long[10:333], long[333:]), expect(long), ""},
		{"send and expect", pong, ping, ""},
		{"send alone", hang, sends, ""},
		{"something else", say("554 go away\r\n"), expect("220 "), `probe: the answer begins with "554 go away\r\n", not with "220 "`},
		{"something else, byte by byte", dribble("221"), expect("220 "), `probe: the answer begins with "221", not with "220 "`},
		{"something long", say(long), expect("1"), `probe: the answer begins with "` + long[:40] + `"…, not with "1"`},
		{"something that differs late", parts(long[:100], "x"), expect(long), `probe: the answer begins as expected, and differs from byte 101 on`},
		{"something that was not asked for", pong, wrong, `probe: the answer begins with "-ERR PONG\r\n", not with "+PONG"`},
		{"no answer", hang, in(expect("220"), short), `probe: connected, but no answer within 200ms`},
		{"half an answer", parts("22"), in(expect("220"), short), `probe: connected, but no answer within 200ms`},
		{"the end instead", closes(""), expect("220"), `probe: connected, but closed by the target without an answer`},
		{"the end too early", closes("22"), expect("220"), `probe: closed by the target after "22", which is not the whole answer`},
		{"a reset instead", func(c net.Conn) { abort(c) }, expect("220"), `probe: connected, but reset by the target`},

		{"HTTP", answering("HTTP/1.1 200 OK\r\n\r\n"), get, ""},
		{"HTTP, the end of the range", answering("HTTP/1.1 399 What\r\n\r\n"), get, ""},
		{"HTTP, no words", answering("HTTP/1.0 204\r\n\r\n"), exact, ""},
		{"HTTP, bare newline", answering("HTTP/1.1 200\n"), get, ""},
		{"HTTP, byte by byte", dribble("HTTP/1.1 302 Found\r\n"), get, ""},
		{"HTTP, in parts", parts("HTT", "P/1.1 ", "200", " "), get, ""},
		{"HTTP 503", answering("HTTP/1.1 503 Service Unavailable\r\n\r\n"), get, `probe: HTTP status 503, not one from 200 to 399`},
		{"HTTP 199", answering("HTTP/1.1 199 \r\n\r\n"), get, `probe: HTTP status 199, not one from 200 to 399`},
		{"HTTP 200 for 204", answering("HTTP/1.1 200 OK\r\n\r\n"), exact, `probe: HTTP status 200, not 204`},
		{"HTTP from SSH", say("SSH-2.0-OpenSSH_9.2\r\n"), get, `probe: the answer begins with "SSH-2.0-OpenSSH_9.2\r\n", which is not HTTP`},
		{"HTTP, four digits", say("HTTP/1.1 2000 OK\r\n"), get, `probe: the answer begins with "HTTP/1.1 2000 OK\r\n", which is not HTTP`},
		{"HTTP, no answer", hang, in(get, short), `probe: connected, but no answer within 200ms`},
		{"HTTP, the end too early", answering("HTTP/1.1 20"), get, `probe: closed by the target after "HTTP/1.1 20", which is not the whole answer`},
	} {
		for _, network := range []string{"tcp", "tcp6", "unix"} {
			if network == "unix" && strings.Contains(c.want, "reset by the target") {
				continue // that is TCP's
			}
			t.Run(c.name+"/"+network, func(t *testing.T) {
				t.Parallel()
				s := serve(t, network, c.handle)
				r := newRig(t)
				targets := set(t, 1, 1, s.address)
				want := upstream.Died
				if c.want == "" {
					targets.All()[0].Failed(false, errTest)
					want = upstream.Back
				}
				r.Monitor("app", targets, c.checking)
				n := r.expect(want)
				if n.app != "app" || n.target != targets.All()[0] {
					t.Errorf("reported of %s, %s", n.app, n.target.Name)
				}
				switch {
				case want == upstream.Back && n.err != nil:
					t.Error(n.err)
				case want == upstream.Died && n.err.Error() != c.want:
					t.Errorf("%v, want %s", n.err, c.want)
				}
				if late := strings.Contains(c.want, "within"); late && !errors.Is(n.err, os.ErrDeadlineExceeded) {
					t.Error("not a time-out")
				}
			})
		}
	}
}

// abort closes with a reset, where there is such a thing.
func abort(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = testkit.Reset(tcp)
	}
}

func TestVerdictOfWhoDoesNotListen(t *testing.T) {
	r := newRig(t)
	checking := always()
	checking.Timeout = short
	gone := "unix:" + t.TempDir() + "/nobody"
	long := "unix:/" + strings.Repeat("x", 200)
	wants := map[string]string{
		refuse(t):                  "probe: connect: connection refused",
		blackhole(t, "127.0.0.1"):  "probe: no answer within 200ms",
		gone:                       "probe: connect: no such file or directory",
		long:                       "probe: connect: file name too long",
		"[fe80::1%no-such-link]:1": `probe: no network interface "no-such-link"`,
	}
	for address := range wants {
		r.Monitor(address, set(t, 1, 1, address), checking)
	}
	for range wants {
		if n := r.expect(upstream.Died); n.err.Error() != wants[n.app] {
			t.Errorf("%s: %v, want %s", n.app, n.err, wants[n.app])
		}
	}
}

// Where nobody listens on a local port, the kernel may connect a socket to itself: that is nobody's answer.
func TestVerdictOfASocketThatMetItself(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	own, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Connect(fd, own); err != nil {
		t.Fatal(err)
	}
	r := newRig(t)
	targets := set(t, 1, 1, "127.0.0.1:1")
	r.Monitor("app", targets, dead())
	r.ask(func() { // as if that had been its connect
		targets.All()[0].Failed(false, errTest)
		c := r.checks[targets.All()[0].Identity()]
		r.acquire(c, fd)
		c.phase = connecting
		c.ready(r.Prober)
	})
	if c := targets.All()[0].Condition(); c.ProbesPassed != 0 || !errors.Is(c.LastProbeErr, unix.ECONNREFUSED) {
		t.Errorf("%d passed; %v", c.ProbesPassed, c.LastProbeErr)
	}
}

// A unix socket whose queue is full says so at once: unix(7), EAGAIN.
func TestVerdictOfAFullUnixSocket(t *testing.T) {
	path := t.TempDir() + "/s"
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := newRig(t)
	r.Monitor("app", set(t, 1, 1, "unix:"+path), always())
	if n := r.expect(upstream.Died); !errors.Is(n.err, errBacklog) {
		t.Error(n.err)
	}
}

func TestTheRequest(t *testing.T) {
	requests := make(chan *http.Request, 1000)
	handle := func(c net.Conn) {
		if request, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			requests <- request
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
	}
	own := serve(t, "tcp", handle)
	six := serve(t, "tcp6", handle)
	local := serve(t, "unix", handle)
	r := newRig(t)
	checking := always()
	checking.HTTP = config.HTTPProbe{Path: "/health?deep=1", Low: 200, High: 200}
	for _, c := range []struct {
		targets *upstream.Set
		port    string
		host    string
	}{
		{set(t, 1, 1, own.address), "", own.address},
		{set(t, 1, 1, six.address), "", six.address},
		{set(t, 1, 1, local.address), "", "localhost"},
		{set(t, 1, 1, "127.0.0.1:1"), own.address, own.address},
		{named(t, "web.internal", own.address), "", "web.internal:" + portOf(own.address)},
		{service(t, own.address), "", own.address},
	} {
		checking := checking
		if c.port != "" {
			checking.Port = int(netip.MustParseAddrPort(c.port).Port())
		}
		r.Monitor("app", c.targets, checking)
		testkit.Eventually(t, "a request for "+c.host, func() bool {
			got := <-requests
			if got.Method != "GET" || got.RequestURI != "/health?deep=1" || !got.Close || got.UserAgent() != "tcp-proxy" {
				t.Errorf("%s %s, close: %v, from %s", got.Method, got.RequestURI, got.Close, got.UserAgent())
			}
			return got.Host == c.host
		})
	}
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// named is a target by name, at an address.
func named(t *testing.T, name, at string) *upstream.Set {
	t.Helper()
	where := netip.MustParseAddrPort(at)
	return resolved(config.Address{Network: "tcp", Host: name, Port: where.Port()}, where)
}

// service is a target by SRV records, at an address.
func service(t *testing.T, at string) *upstream.Set {
	t.Helper()
	return resolved(config.Address{Network: "srv", Host: "_web._tcp.internal"}, netip.MustParseAddrPort(at))
}

func resolved(name config.Address, at ...netip.AddrPort) *upstream.Set {
	s := upstream.NewSet([]config.Target{{Address: name, Weight: 1}}, upstream.Policy{
		Balance: config.BalanceRoundRobin, Retry: time.Hour, Probed: true, Rise: 1, Fall: 1,
	}, nil)
	resolve(s, name, at...)
	return s
}

func resolve(s *upstream.Set, name config.Address, at ...netip.AddrPort) {
	var found []upstream.Endpoint
	for _, a := range at {
		found = append(found, upstream.Endpoint{Addr: a})
	}
	s.Resolved(name, found)
}

func TestHostOfAZone(t *testing.T) {
	s := set(t, 1, 1, "[fe80::1%lo]:8080")
	c := check{group: &group{}, target: s.All()[0]}
	if got := c.host(); got != "[fe80::1]:8080" {
		t.Error(got)
	}
}

func TestSourceAddress(t *testing.T) {
	from := make(chan netip.Addr, 1000)
	handle := func(c net.Conn) {
		from <- c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr()
		say("hello")(c)
	}
	s := serve(t, "tcp", handle)
	r := newRig(t)
	checking := always()
	checking.Expect = "hello"
	source := netip.MustParseAddr("127.0.0.55")
	checking.Source = source
	r.Monitor("app", set(t, 1, 1, s.address), checking)
	if got := <-from; got != source {
		t.Errorf("from %v, want %v", got, source)
	}
	r.Monitor("other", set(t, 1, 1, "[::1]:1"), checking)
	const want = "probe: connect: ::1 cannot be reached from the source address 127.0.0.55"
	if n := r.expect(upstream.Died); n.err.Error() != want {
		t.Errorf("%v, want %s", n.err, want)
	}
}

// A target that wants a PROXY header has one before anything else, but not on a port that is for checks.
func TestProxyHeader(t *testing.T) {
	var mu sync.Mutex
	heard := map[string]string{}
	listen := func(name, answer string) *server {
		return serve(t, "tcp", func(c net.Conn) {
			b := make([]byte, 1000)
			n, _ := c.Read(b)
			mu.Lock()
			heard[name] = string(b[:n])
			mu.Unlock()
			say(answer)(c)
		})
	}
	v1, v2 := listen("v1", "220"), listen("v2", "HTTP/1.1 200 OK\r\n\r\n")
	own := listen("own", "pong")
	r := newRig(t)
	expects := always()
	expects.Expect, expects.SendProxy = "220", 1
	r.Monitor("v1", set(t, 1, 1, v1.address), expects)
	get := always()
	get.HTTP, get.SendProxy = config.HTTPProbe{Path: "/", Low: 200, High: 200}, 2
	r.Monitor("v2", set(t, 1, 1, v2.address), get)
	asks := always()
	asks.Send, asks.Expect, asks.SendProxy = "ping", "pong", 2
	asks.Port = int(netip.MustParseAddrPort(own.address).Port())
	r.Monitor("own", set(t, 1, 1, "127.0.0.1:1"), asks)
	for name, want := range map[string]string{
		"v1":  "PROXY UNKNOWN\r\n",
		"v2":  "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00GET / HTTP/1.1\r\n",
		"own": "ping",
	} {
		got := ""
		testkit.Eventually(t, "a check of "+name, func() bool {
			mu.Lock()
			defer mu.Unlock()
			got = heard[name]
			return got != ""
		})
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	r.ask(func() {
		for _, c := range r.checks {
			if c.target.Dead() {
				t.Error(c.target.Name, c.target.Condition().Reason)
			}
		}
	})
}
