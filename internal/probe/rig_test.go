package probe

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/testkit"
	"tcp-proxy/internal/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// longTimeout is that of checks that are to end without one.
const longTimeout = 20 * time.Second

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
	return testkit.Receive(r.t, "a report", r.news)
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
	testkit.Receive(r.t, "the prober's goroutine", done)
}

var errTest = errors.New("a session could not connect")

// always probes all the time, so often that tests need not wait.
func always() Config {
	return Config{Probe: config.Probe{
		When: config.ProbeAlways, Interval: 10 * time.Millisecond, Timeout: longTimeout, Rise: 1, Fall: 1,
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
	*testkit.Server
	address string
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
	s := &server{Server: testkit.Serve(t, network, at, handle)}
	s.address = s.Addr.String()
	if network == "unix" {
		s.address = "unix:" + s.address
	}
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
	s.Leave()
	return s.address
}

// blackhole is an address on that host where a connect has no answer.
func blackhole(t testing.TB, host string) string {
	t.Helper()
	return testkit.NewBlackhole(t, net.JoinHostPort(host, "0")).Addr.String()
}
