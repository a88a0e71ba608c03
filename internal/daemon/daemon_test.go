package daemon

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/logging"
	"tcp-proxy/internal/proxy"
	"tcp-proxy/internal/systemd"
	"tcp-proxy/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A manager is a service manager with a watchdog.
type manager struct {
	*testing.T
	*systemd.Notifier
	conn *net.UnixConn
}

func newManager(t *testing.T) *manager {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "100000")
	t.Setenv("WATCHDOG_PID", "")
	t.Setenv("SYSTEMD_EXEC_PID", "")
	n, err := systemd.NewNotifier()
	if err != nil {
		t.Fatal(err)
	}
	return &manager{t, n, conn}
}

// receives waits for a notification that contains a text, and returns it.
func (m *manager) receives(text string) string {
	m.Helper()
	m.conn.SetReadDeadline(time.Now().Add(testkit.Timeout))
	data := make([]byte, 4096)
	for {
		n, err := m.conn.Read(data)
		if err != nil {
			m.Fatalf("the manager does not receive %q: %v", text, err)
		}
		if got := string(data[:n]); strings.Contains(got, text) {
			return got
		}
	}
}

// discards reads and discards notifications until the test ends: a manager that does not read delays the daemon.
func (m *manager) discards() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for err := error(nil); err == nil; {
			_, err = m.conn.Read(make([]byte, 4096))
		}
	}()
	m.Cleanup(func() {
		m.conn.Close()
		<-done
	})
}

// running is a running daemon. A reload calls reread.
type running struct {
	daemon *Daemon
	stop   context.CancelFunc
	reload chan struct{}
	ended  chan error
	log    *syncBuffer

	mu     sync.Mutex
	reread func() (*config.Config, error)
}

// syncBuffer is a bytes.Buffer for several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("config.json", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// start runs a daemon, with the sockets that systemd would have passed.
func start(t *testing.T, m *manager, cfg *config.Config, sockets ...systemd.Socket) *running {
	t.Helper()
	return startWith(t, m, cfg, func(*Daemon) {}, sockets...)
}

// startLimited does the same with another time-out of reloads.
func startLimited(t *testing.T, m *manager, cfg *config.Config, limit time.Duration) *running {
	t.Helper()
	return startWith(t, m, cfg, func(d *Daemon) { d.timeout = limit })
}

// startWith does the same after a change of the daemon.
func startWith(t *testing.T, m *manager, cfg *config.Config, change func(*Daemon), sockets ...systemd.Socket) *running {
	t.Helper()
	r := &running{reload: make(chan struct{}), ended: make(chan error, 1), log: &syncBuffer{}}
	r.reread = func() (*config.Config, error) { return cfg, nil }
	log, err := logging.New(r.log, config.Log{Level: "info", Format: "text"})
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(t.Context(), cfg, Source{Read: func() (*config.Config, error) {
		r.mu.Lock()
		read := r.reread
		r.mu.Unlock()
		return read()
	}}, "1.2.3", log, m.Notifier, sockets)
	if err != nil {
		t.Fatal(err)
	}
	stop, cancel := context.WithCancel(context.Background())
	change(d)
	r.daemon, r.stop = d, cancel
	go func() {
		err := d.Run(Signals{Stop: stop, Hurry: context.Background(), Reload: r.reload})
		r.ended <- errors.Join(err, log.Close())
	}()
	return r
}

func (r *running) end(t *testing.T) {
	t.Helper()
	r.stop()
	if err := testkit.Receive(t, "the daemon stops", r.ended); err != nil {
		t.Error(err)
	}
}

// The service manager is notified from the start to the stop of a daemon, while an open session delays the stop.
func TestNotifications(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	m := newManager(t)
	r := start(t, m, parse(t, `{"drain_timeout": "1m", "apps": [{"name": "a", "ports": ["systemd:web"], "targets": ["`+server.Addr().String()+`"]}]}`),
		systemd.Socket{Name: "web", Listener: socket})
	if got, want := m.receives("READY=1"), "READY=1\nSTATUS=1 app, 1 port, 0/1 target alive, 1 untested, 0 sessions"; got != want {
		t.Errorf("the manager receives %q, want %q", got, want)
	}
	m.receives("WATCHDOG=1")
	m.receives("WATCHDOG=1")

	client, err := net.Dial("tcp", socket.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	m.receives("STATUS=1 app, 1 port, 1/1 target alive, 1 session")

	r.daemon.server.Drain(true)
	m.receives("STATUS=draining, reports not ready; 1 app, 1 port, 1/1 target alive, 1 session")
	r.reload <- struct{}{}
	if got, want := m.receives("READY=1"), "STATUS=draining, reports not ready; 1 app"; !strings.Contains(got, want) {
		t.Errorf("after a reload the manager receives %q, want %q", got, want)
	}
	r.daemon.server.Drain(false)
	m.receives("STATUS=1 app, 1 port, 1/1 target alive, 1 session")

	r.mu.Lock()
	good := r.reread
	r.reread = func() (*config.Config, error) { return nil, errors.New("a bad\nfile") }
	r.mu.Unlock()
	r.reload <- struct{}{}
	m.receives("RELOADING=1\nMONOTONIC_USEC=")
	if got, want := m.receives("READY=1"), "1 session; reload refused: a bad file"; !strings.HasSuffix(got, want) {
		t.Errorf("the manager receives %q, want …%q", got, want)
	}
	r.mu.Lock()
	r.reread = good
	r.mu.Unlock()
	r.reload <- struct{}{}
	m.receives("RELOADING=1\nMONOTONIC_USEC=")
	if got := m.receives("READY=1"); !strings.HasSuffix(got, "1 session") {
		t.Errorf("the manager receives %q", got)
	}

	r.stop()
	m.receives("STOPPING=1")
	m.receives("EXTEND_TIMEOUT_USEC=30000000")
	client.Close()
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Error(err)
	}
	conn.Close()
	r.end(t)
}

// The admin API answers from before the first session is accepted until after the last one has ended, with the current state.
func TestTheAdminAPIAnswers(t *testing.T) {
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	port, socket := freePort(t), filepath.Join(t.TempDir(), "admin.sock")
	cfg := parse(t, `{"admin": {"listen": ["unix:`+socket+`"]}, "drain_timeout": "1m",
		"apps": [{"name": "a", "ports": ["127.0.0.1:`+port+`"], "targets": ["`+target.Addr().String()+`"]}]}`)
	m := newManager(t)
	d, err := New(t.Context(), cfg, Source{Read: func() (*config.Config, error) { return cfg, nil }}, "1.2.3", logging.Discard(), m.Notifier, nil)
	if err != nil {
		t.Fatal(err)
	}
	ready := func(want string) {
		t.Helper()
		client := http.Client{Timeout: testkit.Timeout, Transport: &http.Transport{DisableKeepAlives: true,
			DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", socket) }}}
		response, err := client.Get("http://localhost/readyz")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if text, err := io.ReadAll(response.Body); err != nil || string(text) != want+"\n" {
			t.Errorf("readyz says %q, %v; want %s", text, err, want)
		}
	}
	d.first.Commit()
	ready("starting")
	if s := d.server.Snapshot(); s.State != proxy.Starting || len(s.Apps) != 0 {
		t.Errorf("before the start: %+v", s)
	}
	if d.first, err = d.prepareAdmin(cfg); err != nil { // the previous plan is committed
		t.Fatal(err)
	}
	stop, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(Signals{Stop: stop, Hurry: context.Background()}) }()
	m.receives("READY=1")
	ready("ready")
	client, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	session, err := target.Accept()
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	m.receives("EXTEND_TIMEOUT_USEC")
	ready("stopping")
	client.Close()
	session.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("unix", socket); err == nil {
		t.Error("the admin API is still there")
	}
}

// If the admin API cannot listen, the daemon does not start, and leaves nothing open.
func TestTheAdminAPICannotListen(t *testing.T) {
	port := freePort(t)
	cfg := parse(t, `{"admin": {"listen": ["unix:/no/such/folder/admin.sock"]}, "apps": [{"ports": ["127.0.0.1:`+port+`"], "targets": ["127.0.0.1:1"]}]}`)
	_, err := New(t.Context(), cfg, Source{}, "", logging.Discard(), newManager(t).Notifier, nil)
	if err == nil || !strings.HasPrefix(err.Error(), "config.json:1:23: admin.listen[0]: the admin API cannot listen on unix:/no/such/folder/admin.sock: no such file") {
		t.Errorf("%v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket := filepath.Join(t.TempDir(), "admin.sock")
	cfg = parse(t, `{"admin": {"listen": ["unix:`+socket+`"]}, "apps": [{"ports": ["127.0.0.1:`+port+`"], "targets": ["127.0.0.1:1"]}]}`)
	if _, err := New(t.Context(), cfg, Source{}, "", logging.Discard(), newManager(t).Notifier, nil); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("%v", err)
	}
	if _, err := net.Dial("unix", socket); err == nil {
		t.Error("the socket of a daemon that did not start is still there")
	}
}

// If the manager is gone, the daemon logs that once and goes on.
func TestTheManagerIsGone(t *testing.T) {
	m := newManager(t)
	m.conn.Close()
	r := start(t, m, parse(t, `{"apps": [{"name": "a", "ports": ["127.0.0.1:`+freePort(t)+`"], "targets": ["127.0.0.1:1"]}]}`))
	r.reload <- struct{}{}
	r.reload <- struct{}{}
	r.end(t)
	if n := strings.Count(r.log.String(), "notifying systemd failed"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, r.log.String())
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String()) // it has one
	return port
}
