package harness

import (
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/testkit"
)

// A Target is a small server in this process. Its handler serves a connection, which is closed when the handler returns or
// the target stops.
type Target struct {
	Address string // as the configuration writes it

	t        testing.TB
	handle   func(*Conn)
	accepted atomic.Int64
	manual   chan *Conn // nil if there is a handler

	mu       sync.Mutex
	listener net.Listener
	conns    map[*Conn]bool // those that are open
	handlers sync.WaitGroup // the accept loop and all handlers
}

// Serve starts a target on an address of its own.
func (r *Rig) Serve(handle func(*Conn)) *Target {
	r.T.Helper()
	return r.ServeAt(r.Address(), handle)
}

// ServeAt starts a target on that address, "host:port" or "unix:PATH".
func (r *Rig) ServeAt(address string, handle func(*Conn)) *Target {
	r.T.Helper()
	return r.open(&Target{Address: address, t: r.T, handle: handle})
}

// Listen starts a target whose connections the test takes with Accept.
func (r *Rig) Listen() *Target {
	r.T.Helper()
	return r.ListenAt(r.Address())
}

// ListenAt is Listen on that address.
func (r *Rig) ListenAt(address string) *Target {
	r.T.Helper()
	return r.open(&Target{Address: address, t: r.T, manual: make(chan *Conn, 1024)})
}

func (r *Rig) open(target *Target) *Target {
	r.T.Helper()
	target.Restart()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.targets = append(r.targets, target)
	return target
}

// Accept returns the next connection of a target that Listen started. The rig closes it.
func (target *Target) Accept() *Conn {
	target.t.Helper()
	return testkit.Receive(target.t, "a connection to target "+target.Address, target.manual)
}

// Accepted returns the number of connections so far.
func (target *Target) Accepted() int { return int(target.accepted.Load()) }

// Stop closes the listener and all connections, and waits for the handlers. From then on the target refuses connections.
func (target *Target) Stop() {
	target.mu.Lock()
	target.close()
	for c := range target.conns {
		c.Close()
	}
	clear(target.conns)
	target.mu.Unlock()
	target.handlers.Wait()
}

// Leave closes only the listener: the target refuses connections, and existing ones go on. Restart listens again.
func (target *Target) Leave() {
	target.mu.Lock()
	defer target.mu.Unlock()
	target.close()
}

// close closes the listener, if it is open, so that the next connect is refused. Closing the descriptor is not enough for
// that: a process that another test starts in the same moment has a copy of it until its execve(2). The caller holds mu.
func (target *Target) close() {
	if target.listener == nil {
		return
	}
	raw, err := target.listener.(syscall.Conn).SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_RDWR) }) // or it is closed
	}
	if err != nil {
		target.t.Errorf("close target %s: %v", target.Address, err)
	}
	target.listener.Close()
	target.listener = nil
}

// Restart listens again after a stop, on the same address.
func (target *Target) Restart() {
	target.t.Helper()
	network, name := split(target.Address)
	l, err := net.Listen(network, name)
	if err != nil {
		target.t.Fatal(err)
	}
	target.mu.Lock()
	defer target.mu.Unlock()
	target.listener = l
	target.handlers.Add(1)
	go target.acceptAll(l)
}

func (target *Target) acceptAll(l net.Listener) {
	defer target.handlers.Done()
	for {
		raw, err := l.Accept()
		if err != nil {
			return // closed by Stop
		}
		target.take(l, newConn(target.t, raw))
	}
}

func (target *Target) take(l net.Listener, c *Conn) {
	target.mu.Lock()
	defer target.mu.Unlock()
	if target.listener != l {
		c.Close() // it came while the target was being stopped
		return
	}
	if target.conns == nil {
		target.conns = make(map[*Conn]bool)
	}
	target.conns[c] = true
	target.accepted.Add(1)
	if target.handle == nil {
		target.manual <- c
		return
	}
	target.handlers.Add(1)
	go target.serve(c)
}

func (target *Target) serve(c *Conn) {
	defer target.handlers.Done()
	target.handle(c)
	c.Close()
	target.mu.Lock()
	defer target.mu.Unlock()
	delete(target.conns, c)
}
