package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/listen"
	"tcp-proxy/internal/logging"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/testkit"
	"tcp-proxy/internal/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// addresses numbers loopback addresses: each test has its own, with all ports free.
var addresses atomic.Uint32

func ownAddress() string {
	n := addresses.Add(1)
	return fmt.Sprintf("127.%d.%d.%d", 64+os.Getpid()%128, n>>8&0xff, n&0xff)
}

// parse decodes a configuration. IP in the text is replaced by ip.
func parse(t *testing.T, ip, text string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("test.json", []byte(strings.ReplaceAll(text, "IP", ip)))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// start runs a server until the end of the test.
func start(t *testing.T, cfg *config.Config, inherited ...listen.Inherited) *Server {
	t.Helper()
	s, err := New(t.Context(), cfg, logging.Discard(), inherited)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		now, cancel := context.WithCancel(context.Background())
		cancel()
		if err := s.Stop(now); err != nil {
			t.Error(err)
		}
	})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	return s
}

// serveName runs a target that sends its name to each client, and then echoes.
func serveName(t *testing.T, network, address, name string) {
	t.Helper()
	testkit.Serve(t, network, address, func(c net.Conn) {
		io.WriteString(c, name)
		io.Copy(c, c)
	})
}

// dial opens a session and returns it with the name of the target, which has n bytes.
func dial(network, address string, n int) (net.Conn, string, error) {
	c, err := net.Dial(network, address)
	if err != nil {
		return nil, "", err
	}
	c.SetDeadline(time.Now().Add(testkit.Timeout))
	name := make([]byte, n)
	if _, err := io.ReadFull(c, name); err != nil {
		c.Close()
		return nil, "", err
	}
	return c, string(name), nil
}

// reaches checks which target a session to an address reaches.
func reaches(t *testing.T, network, address, want string) {
	t.Helper()
	c, got, err := dial(network, address, len(want))
	if err != nil || got != want {
		t.Fatalf("%s answers %q, %v; want %q", address, got, err, want)
	}
	c.Close()
}

func refuses(t *testing.T, address string) {
	t.Helper()
	if c, err := net.Dial("tcp", address); err == nil {
		c.Close()
		t.Errorf("%s takes connections", address)
	} else if !errors.Is(err, unix.ECONNREFUSED) {
		t.Error(err)
	}
}

func TestEveryPortThatFailsIsReported(t *testing.T) {
	ip := ownAddress()
	for _, port := range []string{"2", "3"} {
		l, err := net.Listen("tcp", ip+":"+port)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	_, err := New(t.Context(), parse(t, ip, `{"apps": [
		{"name": "a", "ports": ["IP:1", "IP:2"], "targets": ["IP:9"]},
		{"name": "b", "ports": ["IP:3"], "targets": ["IP:9"]}]}`), logging.Discard(), nil)
	if err == nil || !errors.Is(err, unix.EADDRINUSE) {
		t.Fatal(err)
	}
	for _, want := range []string{
		`apps[0].ports[1]: app "a" cannot listen on ` + ip + `:2: address already in use (by proxy.test, PID `,
		`apps[1].ports[0]: app "b" cannot listen on ` + ip + `:3: address already in use (by proxy.test, PID `,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %s", err, want)
		}
	}
	refuses(t, ip+":1")
}

// The number of reported ports is limited, as for other errors; further ports are not tried.
func TestManyPortsThatFail(t *testing.T) {
	ip := ownAddress()
	for port := 1; port <= config.MaxErrors+20; port++ {
		l, err := net.Listen("tcp", fmt.Sprint(ip, ":", port))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	_, err := New(t.Context(), parse(t, ip, `{"apps": [{"name": "a", "ports": ["IP:1-500"], "targets": ["IP:501"]}]}`), logging.Discard(), nil)
	var errs config.Errors
	if !errors.As(err, &errs) || len(errs) != config.MaxErrors+1 || !errors.Is(err, unix.EADDRINUSE) {
		t.Fatalf("%d errors: %.500v", len(errs), err)
	}
	for i, e := range errs {
		if last := strings.HasSuffix(e.Text, "; the ports behind it were not tried"); last != (i == config.MaxErrors) {
			t.Errorf("error %d: %v", i, e)
		}
	}
}

func TestUnixPorts(t *testing.T) {
	ip, dir := ownAddress(), t.TempDir()
	serveName(t, "tcp", ip+":9", "target")
	left, file, live := filepath.Join(dir, "left"), filepath.Join(dir, "file"), filepath.Join(dir, "live")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: left, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	serveName(t, "unix", live, "another")

	for path, want := range map[string]string{file: "not a socket", live: "address already in use"} {
		_, err := New(t.Context(), parse(t, ip, `{"apps": [{"name": "a", "ports": ["unix:`+path+`"], "targets": ["IP:9"]}]}`), logging.Discard(), nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("it is gone: %v", err)
		}
	}
	t.Run("left behind", func(t *testing.T) {
		start(t, parse(t, ip, `{"apps": [{"name": "a", "ports": ["unix:`+left+`"], "targets": ["IP:9"]}]}`))
		reaches(t, "unix", left, "target")
	})
	if _, err := os.Lstat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left after the stop: %v", err)
	}
}

func TestApplySameConfigurationChangesNothing(t *testing.T) {
	ip := ownAddress()
	const text = `{"apps": [{"name": "a", "ports": ["IP:1", "IP:2"], "targets": ["IP:8", "IP:9"]}]}`
	s := start(t, parse(t, ip, text))
	app, port := s.apps[0], s.ports[listen.Key{Port: s.apps[0].Ports[0]}]
	if _, err := s.Apply(parse(t, ip, text)); err != nil {
		t.Fatal(err)
	}
	if s.apps[0] != app || s.ports[listen.Key{Port: s.apps[0].Ports[0]}] != port || port.Route.Load() != app.route {
		t.Error("something was replaced")
	}
}

// slowToClose is an engine whose Close blocks.
type slowToClose struct {
	relay.Engine
	closing chan struct{} // receives at each Close
	goOn    chan struct{}
}

func (e slowToClose) Close(p *relay.Port) error {
	e.closing <- struct{}{}
	<-e.goOn
	return e.Engine.Close(p)
}

// While Apply closes ports, readers do not wait and see the new state.
func TestReadersDoNotWaitForPortsToClose(t *testing.T) {
	ip := ownAddress()
	s, err := New(t.Context(), parse(t, ip, `{"apps": [{"name": "a", "ports": ["IP:1", "IP:2", "IP:3"], "targets": ["IP:9"]}]}`), logging.Discard(), nil)
	if err != nil {
		t.Fatal(err)
	}
	slow := slowToClose{s.engine, make(chan struct{}, 16), make(chan struct{})}
	s.engine = slow
	t.Cleanup(func() {
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	goOn := sync.OnceFunc(func() { close(slow.goOn) })
	defer goOn()
	done := make(chan error, 1)
	go func() {
		_, err := s.Apply(parse(t, ip, `{"apps": [{"name": "a", "ports": ["IP:1"], "targets": ["IP:9"]}]}`))
		done <- err
	}()
	<-slow.closing
	read := make(chan []Port, 1)
	go func() {
		s.Stage()
		s.Status()
		read <- s.Snapshot().Apps[0].Ports
	}()
	if ports := testkit.Receive(t, "a reader has the ports", read); len(ports) != 1 || !strings.HasSuffix(ports[0].Name, ":1") {
		t.Errorf("the ports are %v", ports)
	}
	goOn()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestApplyChangesPortsAndTargets(t *testing.T) {
	ip := ownAddress()
	for port, name := range map[string]string{"7": "seven", "8": "eight"} {
		serveName(t, "tcp", ip+":"+port, name)
	}
	s := start(t, parse(t, ip, `{"apps": [
		{"name": "goes", "ports": ["IP:1"], "targets": ["IP:7"]},
		{"name": "stays", "ports": ["IP:2"], "targets": ["IP:7"]},
		{"name": "changes", "ports": ["IP:3"], "targets": ["IP:7"]}]}`))
	var open []net.Conn
	for _, port := range []string{"1", "2", "3"} {
		c, _, err := dial("tcp", ip+":"+port, len("seven"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		open = append(open, c)
	}
	if _, err := s.Apply(parse(t, ip, `{"apps": [
		{"name": "comes", "ports": ["IP:4"], "targets": ["IP:8"]},
		{"name": "stays", "ports": ["IP:2"], "targets": ["IP:7"]},
		{"name": "changes", "ports": ["IP:3"], "targets": ["IP:8"]}]}`)); err != nil {
		t.Fatal(err)
	}
	refuses(t, ip+":1")
	reaches(t, "tcp", ip+":2", "seven")
	reaches(t, "tcp", ip+":3", "eight")
	reaches(t, "tcp", ip+":4", "eight")
	for i, c := range open { // to their previous targets, even if the port is removed
		if _, err := io.WriteString(c, "still"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, len("still"))); err != nil {
			t.Errorf("open session %d: %v", i, err)
		}
	}
	if got := s.Status().String(); got != "3 apps, 3 ports, 3/3 targets alive, 3 sessions" {
		// Sessions that were just closed may still count.
		if !strings.HasPrefix(got, "3 apps, 3 ports, 3/3 targets alive, ") {
			t.Error(got)
		}
	}
}

func TestApplyThatFailsChangesNothing(t *testing.T) {
	ip := ownAddress()
	serveName(t, "tcp", ip+":8", "eight")
	taken, err := net.Listen("tcp", ip+":5")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s := start(t, parse(t, ip, `{"max_workers": 7, "apps": [{"name": "a", "ports": ["IP:1"], "targets": ["IP:8"]}]}`))
	_, err = s.Apply(parse(t, ip, `{"max_workers": 9, "apps": [{"name": "a", "ports": ["IP:4", "IP:5"], "targets": ["IP:9"]}]}`))
	if !errors.Is(err, unix.EADDRINUSE) || !strings.Contains(err.Error(), "apps[0].ports[1]") {
		t.Fatal(err)
	}
	reaches(t, "tcp", ip+":1", "eight")
	refuses(t, ip+":4")
	if s.workers.Max() != 7 {
		t.Errorf("%d workers", s.workers.Max())
	}
}

func TestApplyKeepsStateOfTargets(t *testing.T) {
	ip := ownAddress()
	const targets = `"targets": ["IP:7", "IP:8", "IP:9"]`
	s := start(t, parse(t, ip, `{"apps": [{"name": "a", "ports": ["IP:1"], `+targets+`}]}`))
	set := s.apps[0].targets
	set.All()[1].Failed(false, errors.New("no way"))
	for text, sameRotation := range map[string]bool{
		`{"apps": [{"name": "a", "ports": ["IP:1", "IP:2"], ` + targets + `, "idle_timeout": "1h"}]}`: true,
		`{"apps": [{"name": "renamed", "ports": ["IP:1"], ` + targets + `}]}`:                         true,
		`{"apps": [{"name": "a", "ports": ["IP:1"], "targets": ["IP:9", "IP:8"]}]}`:                   false,
	} {
		if _, err := s.Apply(parse(t, ip, `{"apps": [{"name": "a", "ports": ["IP:1"], `+targets+`}]}`)); err != nil {
			t.Fatal(err)
		}
		before := s.apps[0].targets
		if _, err := s.Apply(parse(t, ip, text)); err != nil {
			t.Fatal(err)
		}
		if got := s.apps[0].targets == before; got != sameRotation {
			t.Errorf("%s: same rotation: %v", text, got)
		}
		if got := s.apps[0].targets.All()[1].State(); got != upstream.Dead {
			t.Errorf("%s: the dead target is %s", text, got)
		}
	}
}

func TestApplyCannotChangeTheEngine(t *testing.T) {
	ip := ownAddress()
	s := start(t, parse(t, ip, `{"apps": [{"name": "a", "ports": ["IP:1"], "targets": ["IP:8"]}]}`))
	other := parse(t, ip, `{"apps": [{"name": "a", "ports": ["IP:1"], "targets": ["IP:8"]}]}`)
	other.Engine = "another"
	if _, err := s.Apply(other); err == nil || !strings.Contains(err.Error(), "restart") {
		t.Error(err)
	}
}

// Clients that connect continuously while the configuration changes continuously see no error.
func TestApplyUnderLoad(t *testing.T) {
	ip := ownAddress()
	for port, name := range map[string]string{"7": "seven", "8": "eight"} {
		serveName(t, "tcp", ip+":"+port, name)
	}
	with := func(port, target string) *config.Config {
		return parse(t, ip, `{"max_workers": 100, "apps": [
			{"name": "a", "ports": ["IP:1"], "targets": ["IP:`+target+`"]},
			{"name": "b", "ports": ["IP:`+port+`"], "targets": ["IP:7"]}]}`)
	}
	s := start(t, with("2", "7"))
	done := make(chan struct{})
	var clients sync.WaitGroup
	var sessions atomic.Int64
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				c, name, err := dial("tcp", ip+":1", 5)
				if err != nil || name != "seven" && name != "eight" {
					t.Errorf("%q, %v", name, err)
					return
				}
				c.Close()
				sessions.Add(1)
			}
		})
	}
	for i := range 300 {
		if _, err := s.Apply(with([]string{"2", "3"}[i%2], []string{"7", "8"}[i/2%2])); err != nil {
			t.Error(err)
			break
		}
	}
	close(done)
	clients.Wait()
	if sessions.Load() == 0 {
		t.Error("there was no load")
	}
}

func TestInheritedSockets(t *testing.T) { eachEngine(t, inheritedSockets) }

func inheritedSockets(t *testing.T, engine string) {
	ip := ownAddress()
	serveName(t, "tcp", ip+":8", "eight")
	var inherited []listen.Inherited
	for _, i := range []struct{ name, port string }{{"web", "1"}, {"web", "2"}, {"other", "3"}, {"unused", "4"}} {
		l, err := net.Listen("tcp", ip+":"+i.port)
		if err != nil {
			t.Fatal(err)
		}
		inherited = append(inherited, listen.Inherited{Name: i.name, Listener: l})
	}
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	inherited = append(inherited, listen.Inherited{Name: "unix", Listener: l})

	var logState bytes.Buffer
	log, err := logging.New(&logState, config.Log{Level: "debug", Format: "text"})
	if err != nil {
		t.Fatal(err)
	}
	apps := `{"engine": "` + engine + `", "apps": [
		{"name": "by-name", "ports": ["systemd:web"], "targets": ["IP:8"]},
		{"name": "by-address", "ports": ["IP:3", "unix:PATH"], "targets": ["IP:8"]}]}`
	s, err := New(t.Context(), parse(t, ip, strings.ReplaceAll(apps, "PATH", path)), log, inherited)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	for _, port := range []string{"1", "2", "3"} {
		reaches(t, "tcp", ip+":"+port, "eight")
	}
	reaches(t, "unix", path, "eight")
	a := s.Snapshot().Apps
	if want := []Port{{Name: "systemd:web", Address: ip + ":1", Systemd: true}, {Name: "systemd:web", Address: ip + ":2", Systemd: true}}; !slices.Equal(a[0].Ports, want) {
		t.Errorf("by name: %+v", a[0].Ports)
	}
	if want := []Port{{Name: ip + ":3", Address: ip + ":3", Systemd: true}, {Name: "unix:" + path, Address: "unix:" + path, Systemd: true}}; !slices.Equal(a[1].Ports, want) {
		t.Errorf("by address: %+v", a[1].Ports)
	}
	if got := s.Status().String(); !strings.HasPrefix(got, "2 apps, 3 ports, ") {
		t.Errorf("a port with two sockets is not one port: %s", got)
	}
	testkit.Eventually(t, "the sessions have ended", func() bool { return s.workers.Busy() == 0 })
	held, _, err := dial("tcp", ip+":2", len("eight"))
	if err != nil {
		t.Fatal(err)
	}
	list := s.Sessions(t.Context(), SessionQuery{Words: []string{ip + ":2"}}).Sessions
	if len(list) != 1 || list[0].Port != "systemd:web" || list[0].Address != ip+":2" {
		t.Errorf("the open sessions: %+v", list)
	}
	held.Close()
	testkit.Eventually(t, "it has ended", func() bool { return s.workers.Busy() == 0 })
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"port uses a socket of systemd" app=by-name port="systemd:web" port_address="` + ip + `:1"`,
		`"port uses a socket of systemd" app=by-name port="systemd:web" port_address="` + ip + `:2"`,
		`"port uses a socket of systemd" app=by-address port="` + ip + `:3" port_address="` + ip + `:3"`,
		`port="systemd:web" port_address="` + ip + `:1" session=`,
		`port="systemd:web" port_address="` + ip + `:2" session=`,
	} {
		if !strings.Contains(logState.String(), want) {
			t.Errorf("the log does not have %s:\n%s", want, &logState)
		}
	}
	if got := logState.String(); strings.Count(got, "no app uses the inherited socket") != 1 || !strings.Contains(got, "unused") {
		t.Errorf("about unused inherited sockets: %s", got)
	}

	// An inherited socket that is no longer used stays open. Its connections are served when it is used again.
	if _, err := s.Apply(parse(t, ip, `{"engine": "`+engine+`", "apps": [{"name": "by-address", "ports": ["IP:3"], "targets": ["IP:8"]}]}`)); err != nil {
		t.Fatal(err)
	}
	waiting, err := net.Dial("tcp", ip+":1")
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	if _, err := s.Apply(parse(t, ip, strings.ReplaceAll(apps, "PATH", path))); err != nil {
		t.Fatal(err)
	}
	waiting.SetDeadline(time.Now().Add(testkit.Timeout))
	if _, err := io.ReadFull(waiting, make([]byte, len("eight"))); err != nil {
		t.Errorf("the waiting connection got %v", err)
	}

	_, err = s.Apply(parse(t, ip, `{"engine": "`+engine+`", "apps": [{"name": "a", "ports": ["systemd:nobody"], "targets": ["IP:8"]}]}`))
	if err == nil || !strings.Contains(err.Error(), "no socket of that name") {
		t.Errorf("a name that systemd does not know: %v", err)
	}
	now, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Stop(now); err != nil {
		t.Error(err)
	}
	refuses(t, ip+":4")
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the path of an inherited socket was removed: %v", err)
	}
}
