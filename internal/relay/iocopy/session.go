package iocopy

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"tcp-proxy/internal/relay"
)

// stream is what *net.TCPConn and *net.UnixConn have in common.
type stream interface {
	net.Conn
	syscall.Conn
	CloseWrite() error
}

// side is one of the two peers of a session.
type side struct {
	stream
	raw      syscall.RawConn
	unix     bool
	reset    relay.Cause // when it breaks
	closed   relay.Cause // when it finishes first
	finished bool        // guarded by the session's mu: it sends no more
}

// session is one accepted connection with its target connection.
type session struct {
	engine   *Engine
	route    *relay.Route
	approach *relay.Approach
	begun    time.Time
	ctx      context.Context // of connecting
	cancel   context.CancelFunc
	client   *side

	mu     sync.Mutex // guards what follows
	target *side      // nil while connecting
	moved  time.Time  // when it was established, or a side finished
	timer  *time.Timer
	cause  relay.Cause // of the side that finished first, until it is settled
	err    error
	over   bool // settled: cause and err do not change any more

	wrote  atomic.Int64 // between two unix sockets: when a byte was last written, in nanoseconds since begun
	record relay.Record // serve's; Upload and Download are the pumps' while they run
}

// begin makes a session of a connection that was accepted; serve must follow. The session owns conn and one worker.
func (e *Engine) begin(p *relay.Port, conn stream) *session {
	route := p.Route.Load()
	s := &session{
		engine:   e,
		route:    route,
		approach: relay.NewApproach(route, &e.events),
		client:   newSide(conn, relay.ClientReset, relay.ClientClosed),
		record:   relay.Record{App: route.App, Port: p.Name, Client: clientName(conn)},
		begun:    time.Now(),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	e.add(s)
	return s
}

// serve carries a session from accept to close, and accounts for it.
func (s *session) serve() {
	defer s.engine.remove(s)
	defer s.engine.workers.Release()

	forget := s.watch(s.client)
	if t := s.connect(); t != nil {
		s.relay()
		t.Release()
	}
	forget()
	s.close()

	s.record.Target, s.record.Attempts = s.approach.Last(), s.approach.Attempts()
	s.record.Duration = time.Since(s.begun)
	s.record.Cause, s.record.Err = s.cause, s.err
	s.engine.events.Ended(&s.record)
}

// end settles why the session ends before both sides have finished, and resets both. The first call counts.
func (s *session) end(cause relay.Cause, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	s.over = true
	s.cause, s.err = cause, err
	s.cancel()
	s.client.abort()
	if s.target != nil {
		s.target.abort()
	}
}

// close settles the session, if nothing has yet, and closes what is open. Nobody uses its connections any more.
func (s *session) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	s.cancel()
	if s.timer != nil {
		s.timer.Stop()
	}
	// What is still to be sent, the kernel goes on sending. Closing twice is harmless.
	s.client.Close()
	if s.target != nil {
		s.target.Close()
	}
}

func newSide(conn stream, reset, closed relay.Cause) *side {
	raw, err := conn.SyscallConn()
	if err != nil { // package net: only for a nil connection
		panic(err)
	}
	_, unix := conn.(*net.UnixConn)
	return &side{stream: conn, raw: raw, unix: unix, reset: reset, closed: closed}
}

// abort closes the connection with a reset; a unix socket, which knows none, is closed.
func (x *side) abort() {
	if tcp, ok := x.stream.(*net.TCPConn); ok {
		tcp.SetLinger(0) // fails only if it is closed already
	}
	x.Close()
}

func clientName(conn net.Conn) string {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return "unix:"
	}
	addr := tcp.AddrPort()
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()).String()
}
