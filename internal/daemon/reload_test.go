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

// blockReloads makes reloads block until goOn is called. reading gets a value when one has begun.
func (r *running) blockReloads() (reading <-chan struct{}, goOn func()) {
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

// A stop does not wait for a reload that is stuck. Reload returns, and the manager is notified that the reload has ended.
func TestAStopDuringAReload(t *testing.T) {
	m := newManager(t)
	r := start(t, m, simple(t))
	m.receives("READY=1")
	reading, goOn := r.blockReloads()
	defer goOn() // the goroutine ends only then
	results := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := r.daemon.Reload(context.Background())
			results <- err
		}()
	}
	<-reading
	m.receives("RELOADING=1")
	r.end(t)
	m.receives("READY=1")
	m.receives("STOPPING=1")
	for range 2 {
		if err := <-results; !errors.Is(err, errStopping) {
			t.Errorf("the reload gave %v", err)
		}
	}
}

// While a reload is in progress, another one waits. Reload returns when its context is done.
func TestASlowReload(t *testing.T) {
	m := newManager(t)
	r := start(t, m, simple(t))
	m.receives("READY=1")
	reading, goOn := r.blockReloads()
	canceled, cancel := context.WithCancel(context.Background())
	results := make(chan error, 2)
	go func() {
		_, err := r.daemon.Reload(canceled)
		results <- err
	}()
	<-reading
	go func() { // waits for its turn
		_, err := r.daemon.Reload(context.Background())
		results <- err
	}()
	cancel()
	if err := <-results; !errors.Is(err, context.Canceled) {
		t.Errorf("a canceled Reload returns %v", err)
	}
	m.receives("RELOADING=1")
	goOn()
	m.receives("READY=1")
	if err := <-results; err != nil {
		t.Error(err)
	}
	m.receives("RELOADING=1")
	m.receives("READY=1")
	r.end(t)
}

// A reload that takes too long is refused, and so is every later one until the system call of the first has returned.
func TestAReloadTimesOut(t *testing.T) {
	m := newManager(t)
	cfg := simple(t)
	r := startLimited(t, m, cfg, 50*time.Millisecond)
	m.receives("READY=1")
	reading, goOn := r.blockReloads()
	if _, err := r.daemon.Reload(context.Background()); !errors.Is(err, errTimedOut) {
		t.Errorf("a reload that takes too long: %v", err)
	}
	<-reading
	m.receives("RELOADING=1")
	if got := m.receives("READY=1"); !strings.Contains(got, "reload refused") {
		t.Errorf("the manager receives %q", got)
	}
	r.reload <- struct{}{}
	m.receives("RELOADING=1")
	m.receives("READY=1")
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

// What a reload prepares after its time-out is given back.
func TestAReloadAfterItsTimeout(t *testing.T) {
	m := newManager(t)
	before, port := simple(t), freePort(t)
	after := parse(t, `{"apps": [{"name": "b", "ports": ["127.0.0.1:`+port+`"], "targets": ["127.0.0.1:1"]}]}`)
	r := startLimited(t, m, before, 50*time.Millisecond)
	m.receives("READY=1")
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
		t.Fatalf("the port of a configuration that was never active: %v", err)
	}
	l.Close()
	r.end(t)
}

// If sending READY=1 fails, it is sent again later.
func TestReadyIsSentAgain(t *testing.T) {
	m := newManager(t)
	r := start(t, m, simple(t))
	m.receives("READY=1")
	reading, goOn := r.blockReloads()
	r.reload <- struct{}{}
	<-reading
	path := m.conn.LocalAddr().String()
	m.receives("RELOADING=1")
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
	m.receives("READY=1")
	r.end(t)
}
