package harness

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"tcp-proxy/internal/testkit"
)

// A Proxy is a running tcp-proxy whose ports all listen.
type Proxy struct {
	Log *Log

	t         testing.TB
	rig       *Rig
	config    Config
	arguments []string
	command   *exec.Cmd
	exited    chan struct{} // closed when the process has ended and its log is complete
	atReady   descriptors

	mu       sync.Mutex
	expected bool // the test ends this proxy itself, so finish does not check it
}

// StartApp starts a proxy with one app.
func (r *Rig) StartApp(app App, arguments ...string) *Proxy {
	r.T.Helper()
	return r.Start(Config{Apps: []App{app}}, arguments...)
}

// Start writes the configuration to a file, gives every app without ports one, starts the proxy with the engine of the
// rig and the arguments, and waits until it is ready.
func (r *Rig) Start(config Config, arguments ...string) *Proxy {
	r.T.Helper()
	log := []string{"--log-level", "debug", "--log-format", "json"}
	p := r.launch(r.complete(config), append(log, arguments...))
	p.awaitReady()
	p.atReady = p.countDescriptors()
	return p
}

// StartPlain starts a proxy whose log is whatever the configuration and the arguments make it, and waits until its
// first port listens. The test has to stop it.
func (r *Rig) StartPlain(config Config, arguments ...string) *Proxy {
	r.T.Helper()
	p := r.launch(r.complete(config), arguments)
	Eventually(r.T, "the proxy listens", func() bool { return Listening(r.T, p.Address()) })
	return p
}

// StartFailing starts a proxy that ends by itself.
func (r *Rig) StartFailing(config Config, arguments ...string) *Proxy {
	r.T.Helper()
	p := r.launch(r.complete(config), arguments)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expected = true
	return p
}

// complete assigns a port to every app without ports.
func (r *Rig) complete(config Config) Config {
	config.Apps = slices.Clone(config.Apps)
	for i := range config.Apps {
		if app := &config.Apps[i]; app.Ports == nil {
			app.Ports = []any{r.Address()}
		}
	}
	return config
}

func (r *Rig) launch(config Config, arguments []string) *Proxy {
	r.T.Helper()
	text, err := config.encode()
	if err != nil {
		r.T.Fatal(err)
	}
	file := r.Path("config.json")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		r.T.Fatal(err)
	}
	all := append([]string{"run", "--config-file", file, "--engine", r.Engine}, arguments...)
	p := &Proxy{
		Log:       newLog(r.Follow),
		t:         r.T,
		rig:       r,
		config:    config,
		arguments: arguments,
		command:   r.command(all),
		exited:    make(chan struct{}),
	}
	// GOTRACEBACK for a dump of all goroutines on SIGQUIT. A proxy dies with its test run.
	p.command.Env = append(append(os.Environ(), "GOTRACEBACK=all"), r.Environment...)
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if p.command.Stderr = p.Log; r.stderr != nil {
		p.command.Stderr = r.stderr
	}
	if err := p.command.Start(); err != nil {
		r.T.Fatal(err)
	}
	go p.wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.proxies = append(r.proxies, p)
	return p
}

func (r *Rig) command(arguments []string) *exec.Cmd {
	if r.around != nil {
		return r.around(tested, arguments)
	}
	program := tested
	if r.Descriptors > 0 {
		arguments = append([]string{"-c", `ulimit -n "$0" && exec "$@"`, strconv.Itoa(r.Descriptors), program}, arguments...)
		program = "sh"
	}
	if r.nameserver != nil {
		return r.nameserver.around(program, arguments)
	}
	return exec.Command(program, arguments...)
}

func (p *Proxy) awaitReady() {
	p.t.Helper()
	if !within(Timeout, func() bool { return p.Log.Count(Ready) > 0 || p.Exited() }) || p.Exited() {
		p.t.Fatalf("the proxy is not ready (%v)", p.command.ProcessState)
	}
}

func (p *Proxy) wait() {
	_ = p.command.Wait() // what it says is in ProcessState
	close(p.exited)
}

// Address returns the first port of the first app.
func (p *Proxy) Address() string { return p.AddressOf(0) }

// AddressOf returns the first port of an app.
func (p *Proxy) AddressOf(app int) string {
	return p.config.Apps[app].Ports[0].(string)
}

// Dial connects a client to the first port of the first app.
func (p *Proxy) Dial() *Conn {
	p.t.Helper()
	return p.rig.Dial(p.Address())
}

// Session connects a client to the first port of the first app and returns it with the other end, a connection of a
// target that Listen started. No other session of the target may be under way to being connected.
func (p *Proxy) Session(target *Target) (client, server *Conn) {
	p.t.Helper()
	return p.Dial(), target.Accept()
}

// Signal sends the process a signal.
func (p *Proxy) Signal(signal syscall.Signal) {
	p.t.Helper()
	p.mu.Lock()
	p.expected = true
	p.mu.Unlock()
	if err := p.command.Process.Signal(signal); err != nil {
		p.t.Fatalf("signal the proxy: %v", err)
	}
}

// Stop sends TERM and returns the exit code.
func (p *Proxy) Stop() int {
	p.t.Helper()
	p.Signal(syscall.SIGTERM)
	return p.Wait()
}

// Wait waits for the end of the process and returns the exit code.
func (p *Proxy) Wait() int {
	p.t.Helper()
	testkit.Receive(p.t, "the proxy ends", p.exited)
	return p.command.ProcessState.ExitCode()
}

// Exited says whether the process has ended.
func (p *Proxy) Exited() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// Kill ends the process with KILL and waits for it.
func (p *Proxy) Kill() {
	p.t.Helper()
	p.Signal(syscall.SIGKILL)
	p.Wait()
}

func (p *Proxy) kill() {
	if err := p.command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
	<-p.exited
}

// finish ends the process and checks what it leaves behind. The clients and targets of the rig are closed by then.
func (p *Proxy) finish() {
	p.mu.Lock()
	expected := p.expected
	p.mu.Unlock()
	switch {
	case p.t.Failed():
		// The log may say why; further checks would not add anything.
		p.kill()
	case expected:
		if !within(Timeout, p.Exited) {
			p.t.Errorf("the proxy has been told to stop and has not ended in %v", Timeout)
			p.kill()
		}
	case p.Exited():
		p.t.Errorf("the proxy has ended by itself: %v", p.command.ProcessState)
	default:
		p.checkDescriptors()
		p.checkGoroutines()
	}
	text := p.Log.Text()
	for _, sign := range []string{"DATA RACE", "panic:", "fatal error:"} {
		if strings.Contains(text, sign) {
			p.t.Errorf("the proxy has logged %q", sign)
		}
	}
	if p.t.Failed() {
		p.t.Logf("log of the proxy:\n%s", tail(text, 80))
	}
}

// tail returns the last lines of a text.
func tail(text string, lines int) string {
	all := bytes.SplitAfter([]byte(text), []byte("\n"))
	return string(bytes.Join(all[max(0, len(all)-lines):], nil))
}
