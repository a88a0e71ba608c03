package probe

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tooLong is far beyond what anything here takes.
const tooLong = 20 * time.Second

// news is one call of a Report.
type news struct {
	app    string
	target *upstream.Target
	change upstream.Change
	err    error
}

// A rig is a prober and what it reports.
type rig struct {
	*Prober
	t    testing.TB
	news chan news
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, news: make(chan news, 20000)}
	var err error
	r.Prober, err = New(func(app string, t *upstream.Target, change upstream.Change, err error) {
		r.news <- news{app, t, change, err}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// next is the next report.
func (r *rig) next() news {
	r.t.Helper()
	select {
	case n := <-r.news:
		return n
	case <-time.After(tooLong):
		r.t.Fatal("no report")
		return news{}
	}
}

// expect wants the next report to be of that change.
func (r *rig) expect(want upstream.Change) news {
	r.t.Helper()
	n := r.next()
	if n.change != want {
		r.t.Fatalf("%v: %v (%v), want %v", n.target.Name, n.change, n.err, want)
	}
	return n
}

// ask calls f on the prober's goroutine, between two turns.
func (r *rig) ask(f func()) {
	r.t.Helper()
	done := make(chan struct{})
	r.reactor.Post(func() { f(); close(done) })
	select {
	case <-done:
	case <-time.After(tooLong):
		r.t.Fatal("the prober stands still")
	}
}

var errTest = errors.New("a session could not connect")

// always probes all the time, so often that tests need not wait.
func always() Config {
	return Config{Probe: config.Probe{
		When: config.ProbeAlways, Interval: 10 * time.Millisecond, Timeout: tooLong, Rise: 1, Fall: 1,
	}}
}

// dead probes dead targets.
func dead() Config {
	policy := always()
	policy.When = config.ProbeDead
	return policy
}

// set is a set of targets at those addresses, "host:port" or "unix:PATH".
func set(t testing.TB, rise, fall int, addresses ...string) *upstream.Set {
	t.Helper()
	return setAfter(t, nil, rise, fall, addresses...)
}

func setAfter(t testing.TB, before *upstream.Set, rise, fall int, addresses ...string) *upstream.Set {
	t.Helper()
	var targets []config.Target
	for _, a := range addresses {
		targets = append(targets, config.Target{Address: address(t, a), Weight: 1})
	}
	return upstream.NewSet(targets, upstream.Policy{
		Balance: config.BalanceRoundRobin, Retry: time.Hour, Probed: true, Rise: rise, Fall: fall,
	}, before)
}

func address(t testing.TB, a string) config.Address {
	t.Helper()
	if path, ok := strings.CutPrefix(a, "unix:"); ok {
		return config.Address{Network: "unix", Path: path}
	}
	at, err := netip.ParseAddrPort(a)
	if err != nil {
		t.Fatal(err)
	}
	return config.Address{Network: "tcp", Host: at.Addr().String(), Port: at.Port()}
}

// A server is a target.
type server struct {
	address  string
	accepted atomic.Int64
	handlers sync.WaitGroup
	listener net.Listener
}

// serve has every connection handled, and then closed, at "tcp", "tcp6" or "unix".
func serve(t testing.TB, network string, handle func(net.Conn)) *server {
	t.Helper()
	return serveAt(t, network, map[string]string{
		"tcp": "127.0.0.1:0", "tcp6": "[::1]:0", "unix": filepath.Join(t.TempDir(), "s"),
	}[network], handle)
}

func serveAt(t testing.TB, network, at string, handle func(net.Conn)) *server {
	t.Helper()
	l, err := net.Listen(network, at)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{address: l.Addr().String(), listener: l}
	if network == "unix" {
		s.address = "unix:" + s.address
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			switch {
			case errors.Is(err, net.ErrClosed):
				return
			case err != nil:
				time.Sleep(time.Millisecond) // no descriptors, as a test wants it
				continue
			}
			s.accepted.Add(1)
			s.handlers.Add(1)
			go func() {
				defer s.handlers.Done()
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(tooLong))
				handle(c)
			}()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
		s.handlers.Wait()
	})
	return s
}

// hang waits until the other end is gone.
func hang(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// say sends a text and waits until the other end is gone.
func say(text string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = c.Write([]byte(text))
		hang(c)
	}
}

// refuse is an address where nobody listens.
func refuse(t testing.TB) string {
	t.Helper()
	s := serve(t, "tcp", hang)
	s.listener.Close()
	return s.address
}

// blackhole is an address where a connect has no answer: the queue of connections is full (listen(2)).
func blackhole(t testing.TB, at string) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	ip := netip.MustParseAddr(at)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: ip.As4()}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	own, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := netip.AddrPortFrom(ip, uint16(own.(*unix.SockaddrInet4).Port)).String()
	for hung := 0; hung < 2; {
		c, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
		var late net.Error
		switch {
		case err == nil:
			t.Cleanup(func() { c.Close() })
		case errors.As(err, &late) && late.Timeout():
			hung++
		default:
			t.Fatal(err)
		}
	}
	return address
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for limit := time.Now().Add(tooLong); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("waited: " + what)
		}
	}
}

// descriptors is how many this process has open.
func descriptors(t testing.TB) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}
