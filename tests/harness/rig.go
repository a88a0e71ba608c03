// Package harness drives the built tcp-proxy binary for the black-box tests: it builds the binary, gives every test a
// loopback address of its own with targets and clients on it, starts the proxy, reads its log, and looks for what is
// left behind when the test is over.
package harness

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A Rig is the environment of one test: a loopback address that nobody else uses, and the proxies, targets and clients on
// it.
//
// When the test ends, the rig closes all clients and targets, and then checks every proxy that the test has not stopped:
// its descriptors and goroutines are those of a proxy that has just started, and it has logged no data race and no panic.
type Rig struct {
	T      testing.TB
	Engine string
	Host   string // the loopback address

	Environment []string // for the proxies, beside that of the test: "NAME=value"

	// Follow sees each line that the proxies log when it comes; one for which it reports true is not kept, so that a long
	// run does not end out of memory. It is called from goroutines other than the test's own. nil keeps all lines.
	Follow func(Line) bool

	nameserver *Nameserver // of the proxies; nil: those of the machine

	stderr      *os.File                                           // of the proxies; nil: their Log
	Descriptors int                                                // how many a proxy may have open (RLIMIT_NOFILE); 0: as many as the test
	around      func(program string, arguments []string) *exec.Cmd // the command that runs a proxy; nil: the program itself

	mu       sync.Mutex
	port     int    // the last one given out
	folder   string // for unix sockets and files; made by Path
	unclaims []func()
	conns    []*Conn
	targets  []interface{ Stop() }
	proxies  []*Proxy
	finished bool
}

// New makes a rig for the engine. The end of the test ends it.
func New(t testing.TB, engine string) *Rig {
	t.Helper()
	host, unclaim, err := claimHost()
	if err != nil {
		t.Fatal(err)
	}
	r := &Rig{T: t, Engine: engine, Host: host, port: firstPort - 1, unclaims: []func(){unclaim}}
	t.Cleanup(r.finish)
	return r
}

// Address returns an address of the rig that nobody listens on yet; never the same twice.
func (r *Rig) Address() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.port++
	return fmt.Sprintf("%s:%d", r.Host, r.port)
}

// Path returns the path of a file of that name, short enough for a unix socket, in a folder that goes away with the rig.
func (r *Rig) Path(name string) string {
	r.T.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.folder == "" {
		folder, err := os.MkdirTemp("", "tcp-proxy-test-")
		if err != nil {
			r.T.Fatal(err)
		}
		// for servers that drop their privileges
		if err := os.Chmod(folder, 0o755); err != nil {
			r.T.Fatal(err)
		}
		r.folder = folder
	}
	return filepath.Join(r.folder, name)
}

// Dial connects a client to an address: "host:port" or "unix:PATH".
func (r *Rig) Dial(address string) *Conn {
	r.T.Helper()
	c, err := r.TryDial(address)
	if err != nil {
		r.T.Fatal(err)
	}
	return c
}

// TryDial is Dial for clients that may be refused, and for goroutines other than the test's own.
func (r *Rig) TryDial(address string) (*Conn, error) {
	network, name := split(address)
	c, err := net.DialTimeout(network, name, Timeout)
	if err != nil {
		return nil, err
	}
	return r.adopt(c), nil
}

// AnotherHost returns another loopback address that nobody else uses, for clients.
func (r *Rig) AnotherHost() string {
	r.T.Helper()
	host, unclaim, err := claimHost()
	if err != nil {
		r.T.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unclaims = append(r.unclaims, unclaim)
	return host
}

// DialFrom connects a client on a host of the rig to a TCP address.
func (r *Rig) DialFrom(host, address string) *Conn {
	r.T.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(host)}, Timeout: Timeout}
	c, err := dialer.Dial("tcp", address)
	if err != nil {
		r.T.Fatal(err)
	}
	return r.adopt(c)
}

// ExpectRefusal connects a client to a TCP address and expects a reset, perhaps before the connect has returned. It returns
// the address of the client.
func (r *Rig) ExpectRefusal(address string) (client string) {
	r.T.Helper()
	return r.ExpectRefusalFrom(r.Host, address)
}

// ExpectRefusalFrom is ExpectRefusal for a client on a host of the rig.
func (r *Rig) ExpectRefusalFrom(host, address string) (client string) {
	r.T.Helper()
	dialer := net.Dialer{Timeout: Timeout, Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		if e := raw.Control(func(fd uintptr) { client, err = bindTo(int(fd), host) }); e != nil {
			return e
		}
		return err
	}}
	switch c, err := dialer.Dial("tcp", address); {
	case err == nil:
		r.adopt(c).ExpectReset()
	case !errors.Is(err, syscall.ECONNRESET):
		r.T.Fatalf("connect from %s: %v, want a reset", client, err)
	}
	return client
}

// bindTo binds a TCP socket to an IPv4 host and a port that the kernel chooses: unlike a port of our own choice, that one
// has no earlier connection in TIME-WAIT. It returns the address.
func bindTo(socket int, host string) (string, error) {
	if err := unix.Bind(socket, &unix.SockaddrInet4{Addr: netip.MustParseAddr(host).As4()}); err != nil {
		return "", err
	}
	name, err := unix.Getsockname(socket)
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(host, strconv.Itoa(name.(*unix.SockaddrInet4).Port)), nil
}

// adopt sets the deadline of a connection, and closes it at the end of the test.
func (r *Rig) adopt(c net.Conn) *Conn {
	conn := newConn(r.T, c)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.finished {
		c.Close()
	}
	r.conns = append(r.conns, conn)
	return conn
}

// finish ends everything, the proxies last, and checks them.
func (r *Rig) finish() {
	r.hangUp()
	for _, p := range r.proxies {
		p.finish()
	}
	if r.folder != "" {
		os.RemoveAll(r.folder)
	}
	for _, unclaim := range r.unclaims {
		unclaim()
	}
}

// hangUp closes every client and every target of the rig.
func (r *Rig) hangUp() {
	r.mu.Lock()
	r.finished = true
	conns, targets := r.conns, r.targets
	r.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
	for _, target := range targets {
		target.Stop()
	}
}
