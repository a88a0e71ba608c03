package daemon

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"tcp-proxy/internal/config"
)

// slowly has reloads wait for go, from the first one on; reading tells that one has begun.
func (r *running) slowly() (reading <-chan struct{}, goOn func()) {
	begun, wait := make(chan struct{}, 16), make(chan struct{})
	r.mu.Lock()
	read := r.reread
	r.mu.Unlock()
	r.replace(func() (*config.Config, error) {
		begun <- struct{}{}
		<-wait
		return read()
	})
	return begun, func() { close(wait) }
}

func (r *running) replace(read func() (*config.Config, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reread = read
}

func simple(t *testing.T) *config.Config {
	t.Helper()
	return parse(t, `{"apps": [{"name": "a", "ports": ["127.0.0.1:`+freePort(t)+`"], "targets": ["127.0.0.1:1"]}]}`)
}

// A stop does not wait for a reload that is stuck. Who has ordered it is told, and the manager that it is over.
func TestAStopDuringAReload(t *testing.T) {
	m := newManager(t)
	r := start(t, m, simple(t))
	m.hears("READY=1")
	reading, goOn := r.slowly()
	defer goOn() // the goroutine ends only then
	ordered := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := r.daemon.Reload(context.Background())
			ordered <- err
		}()
	}
	<-reading
	m.hears("RELOADING=1")
	r.end(t)
	m.hears("READY=1")
	m.hears("STOPPING=1")
	for range 2 {
		if err := <-ordered; !errors.Is(err, errStopping) {
			t.Errorf("the reload gave %v", err)
		}
	}
}

// While a reload is on, another one waits for its turn, and who has gone does not wait any more.
func TestAReloadIsSlow(t *testing.T) {
	m := newManager(t)
	r := start(t, m, simple(t))
	m.hears("READY=1")
	reading, goOn := r.slowly()
	gone, leave := context.WithCancel(context.Background())
	ordered := make(chan error, 2)
	go func() {
		_, err := r.daemon.Reload(gone)
		ordered <- err
	}()
	<-reading
	go func() { // waits for its turn
		_, err := r.daemon.Reload(context.Background())
		ordered <- err
	}()
	leave()
	if err := <-ordered; !errors.Is(err, context.Canceled) {
		t.Errorf("who has gone is told %v", err)
	}
	m.hears("RELOADING=1")
	goOn()
	m.hears("READY=1")
	if err := <-ordered; err != nil {
		t.Error(err)
	}
	m.hears("RELOADING=1")
	m.hears("READY=1")
	r.end(t)
}

// A reload that takes too long is given up, and so is every one after it until the system has let go of it.
func TestAReloadIsGivenUp(t *testing.T) {
	m := newManager(t)
	cfg := simple(t)
	r := startLimited(t, m, cfg, 50*time.Millisecond)
	m.hears("READY=1")
	reading, goOn := r.slowly()
	if _, err := r.daemon.Reload(context.Background()); !errors.Is(err, errTimedOut) {
		t.Errorf("a reload that takes too long: %v", err)
	}
	<-reading
	m.hears("RELOADING=1")
	if got := m.hears("READY=1"); !strings.Contains(got, "reload refused") {
		t.Errorf("the manager is told %q", got)
	}
	r.reload <- struct{}{}
	m.hears("RELOADING=1")
	m.hears("READY=1")
	if _, err := r.daemon.Reload(context.Background()); !errors.Is(err, errStuck) {
		t.Errorf("a reload while another is stuck: %v", err)
	}
	goOn()
	for {
		_, err := r.daemon.Reload(context.Background())
		if err == nil {
			break
		}
		if !errors.Is(err, errStuck) && !errors.Is(err, errTimedOut) {
			t.Fatal(err)
		}
	}
	r.end(t)
	if problem := r.daemon.server.Snapshot().Reloads.Problem; problem != "" {
		t.Errorf("the status has %q", problem)
	}
}

// What a reload has prepared that nobody wants any more is given back.
func TestAReloadComesTooLate(t *testing.T) {
	m := newManager(t)
	before, port := simple(t), freePort(t)
	after := parse(t, `{"apps": [{"name": "b", "ports": ["127.0.0.1:`+port+`"], "targets": ["127.0.0.1:1"]}]}`)
	r := startLimited(t, m, before, 50*time.Millisecond)
	m.hears("READY=1")
	begun, wait := make(chan struct{}), make(chan struct{})
	r.replace(func() (*config.Config, error) {
		close(begun)
		<-wait
		return after, nil
	})
	if _, err := r.daemon.Reload(context.Background()); !errors.Is(err, errTimedOut) {
		t.Fatal(err)
	}
	<-begun
	r.replace(func() (*config.Config, error) { return before, nil })
	close(wait)
	for err := errStuck; err != nil; {
		if _, err = r.daemon.Reload(context.Background()); err != nil && !errors.Is(err, errStuck) {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatalf("the port of a configuration that never was active: %v", err)
	}
	l.Close()
	r.end(t)
}

// A manager that cannot be told that the service is ready is told later.
func TestReadyIsToldInTheEnd(t *testing.T) {
	m := newManager(t)
	r := start(t, m, simple(t))
	m.hears("READY=1")
	reading, goOn := r.slowly()
	r.reload <- struct{}{}
	<-reading
	path := m.conn.LocalAddr().String()
	m.hears("RELOADING=1")
	m.conn.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	goOn()
	r.awaits(t, "notifying systemd failed")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	m.conn = conn
	m.hears("READY=1")
	r.end(t)
}
