package iocopy

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"tcp-proxy/internal/proxyproto"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/upstream"
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
	raw    syscall.RawConn
	unix   bool
	reset  relay.Cause  // when it breaks
	closed relay.Cause  // when it finishes first
	header int64        // bytes of the PROXY header that it began with
	own    int64        // of the bytes that it acknowledges, those that are none of the session's: SYN, a PROXY header
	noted  atomic.Int64 // bytes written to it, between two unix sockets

	// What follows is guarded by the session's mu.
	finished bool  // it sends no more
	byHand   bool  // urgent data has come from it
	taken    int64 // bytes that were written to it, once its pump has ended
	pumped   bool  // it has
	metered  int64 // how many of them the route's meter knows of
}

// session is one accepted connection with its target connection.
type session struct {
	engine   *Engine
	route    *relay.Route
	approach relay.Approach
	begun    time.Time
	ctx      context.Context // done when the session is over
	cancel   context.CancelFunc
	client   *side
	names    proxyproto.Header // who the client is and where it has connected to; Local: over a unix socket; serve's
	port     *relay.Port       // that it was accepted on
	record   relay.Record      // serve's

	mu      sync.Mutex       // guards what follows
	target  *side            // nil while connecting
	to      *upstream.Target // the same
	moved   time.Time        // when it was established, a side finished, or a pause was over
	pausing int              // pumps that wait for their rate
	timer   *time.Timer      // for quiet
	expiry  timeout          // what it is set to
	doubts  int              // how often it was set again though the session seemed to be quiet
	limit   *time.Timer      // for the longest that it may be open
	cause   relay.Cause      // of the side that finished first, until it is settled
	err     error
	over    bool    // settled: cause and err do not change any more
	ending  *ending // nil unless the session counts for a limit

	wrote atomic.Int64 // between two unix sockets: when a byte was last written, in nanoseconds since begun
}

// begin makes a session of a connection that was accepted; serve must follow. The session owns conn and one worker.
func (e *Engine) begin(p *relay.Port, conn stream) *session {
	route := p.Route.Load()
	s := &session{
		engine: e,
		route:  route,
		client: newSide(conn, relay.ClientReset, relay.ClientClosed),
		port:   p,
		record: relay.Record{Client: nameOf(addressOf(conn.RemoteAddr()))},
		begun:  time.Now(),
	}
	s.approach.Begin(route, &e.events)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if d := route.MaxDuration; d > 0 {
		s.limit = time.AfterFunc(d, func() { s.end(relay.MaxDuration, nil) })
	}
	e.add(s)
	return s
}

// serve carries a session from accept to close, and accounts for it.
func (s *session) serve() {
	defer s.engine.remove(s)
	defer s.engine.workers.Release()

	forget := s.watch(s.client)
	ready := s.admit() && s.connect()
	s.record.Connect = time.Since(s.begun)
	if ready && s.introduce() {
		s.relay()
	}
	forget()
	s.leave()
	s.close()

	s.record.Duration = time.Since(s.begun)
	s.record.Port, s.record.Cause, s.record.Err = s.port.Name(), s.cause, s.err
	s.approach.Over(&s.record)
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
	if s.ending != nil {
		s.engine.endings.over(s.ending)
	}
	s.cancel()
	s.client.abort()
	if s.target != nil {
		s.target.abort()
	}
}

// leave closes the connection to the target and gives back the session's places, before its client can see the end of a
// session that has come to its own. Nobody uses the connections any more.
func (s *session) leave() {
	s.mu.Lock()
	ending := s.ending
	s.ending = nil
	if ending != nil {
		s.engine.endings.over(ending) // the kernel tells nothing of a socket that is closed
	}
	if s.target != nil {
		s.target.Close()
	}
	s.mu.Unlock()
	s.approach.Leave()
	if ending != nil {
		s.engine.endings.remove(ending)
	}
}

// goesTo reports whether the session's connection to t stands.
func (s *session) goesTo(t *upstream.Target) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.to != nil && s.to.Same(t)
}

// close settles the session, if nothing has yet, and closes its client's connection, which nobody uses any more.
func (s *session) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	s.cancel()
	for _, t := range []*time.Timer{s.timer, s.limit} {
		if t != nil {
			t.Stop()
		}
	}
	// What is still to be sent, the kernel goes on sending. Closing twice is harmless.
	s.client.Close()
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

// nameOf is how a record names an address.
func nameOf(a netip.AddrPort) string {
	if !a.IsValid() {
		return "unix:"
	}
	return a.String()
}
