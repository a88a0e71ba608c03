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
	"tcp-proxy/internal/relay/session"
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
	index  int          // session.Client or session.Target
	header int64        // bytes of the PROXY header that it began with
	own    int64        // of the bytes that it acknowledges, those that are none of the session's: SYN, a PROXY header
	noted  atomic.Int64 // bytes written to it, between two unix sockets

	// What follows is guarded by the runner's mu.
	byHand  bool  // urgent data has come from it
	taken   int64 // bytes that were written to it, once its pump has ended
	pumped  bool  // it has
	metered int64 // how many of them the route's meter knows of
}

// runner runs one session: it reports to session.Session what happens, and does what that decides. Its clock counts from
// accept.
type runner struct {
	engine *Engine
	id     uint64      // of the session
	port   *relay.Port // that it was accepted on
	route  *relay.Route
	begun  time.Time
	ctx    context.Context // done when the session has ended
	cancel context.CancelFunc
	client *side
	record relay.Record // serve's

	mu         sync.Mutex // guards what follows
	session    session.Session
	state      session.State
	standstill session.Standstill
	target     *side       // nil until it is connected
	dials      [2]*dial    // the attempts that are under way: of session.Target and session.Racing
	pausing    int         // pumps that wait for their rate
	timer      *time.Timer // for what may be due; nil until there is something
	at         int64       // when it fires
	doubts     int         // how often in a row a time-out was not believed
	settled    bool        // Abort or Finish was decided: neither is done again
	reported   bool        // the session is no more: what is still called for it does nothing
	ending     *ending     // nil unless the session counts for a limit

	wrote atomic.Int64 // between two unix sockets: when a byte was last written, by the runner's clock
}

// begin makes the runner of a connection that was accepted; serve must follow. It owns conn and one worker.
func (e *Engine) begin(p *relay.Port, conn stream) *runner {
	r := &runner{
		engine: e,
		id:     e.lastID.Add(1),
		port:   p,
		route:  p.Route.Load(),
		begun:  time.Now(),
		client: newSide(conn, session.Client),
		record: relay.Record{Client: nameOf(addressOf(conn.RemoteAddr()))},
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.session.Begin(&r.state, r.id, r.route, &e.events, 0)
	e.add(r)
	return r
}

// serve carries the session from accept to close, and accounts for it.
func (r *runner) serve() {
	defer r.engine.remove(r)
	defer r.engine.workers.Release()

	forget := r.monitor(r.client)
	if r.admit() && r.connect() {
		r.relay()
	}
	forget()
	r.close()
}

// now is the time on the runner's clock.
func (r *runner) now() int64 { return int64(time.Since(r.begun)) }

// decide reports an event to the session. It does what every action asks for, and returns the action.
func (r *runner) decide(event func(s *session.Session, now int64) session.Action) session.Action {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reported {
		return session.Abort
	}
	return r.do(event(&r.session, r.now()))
}

// do does what is the same wherever an action was returned: a reset is done, and the timer is set. The caller holds mu.
func (r *runner) do(action session.Action) session.Action {
	switch action {
	case session.Abort:
		r.abort()
	case session.Finish:
		r.settled = true
	}
	r.rearm()
	return action
}

// end ends the session for a cause that the engine has found. The first cause counts.
func (r *runner) end(cause relay.Cause, err error) {
	r.decide(func(s *session.Session, _ int64) session.Action { return s.End(cause, err) })
}

// abort resets both sides, unless that or a good end was decided before. The caller holds mu.
func (r *runner) abort() {
	if r.settled {
		return
	}
	r.settled = true
	if r.ending != nil {
		r.engine.endings.over(r.ending)
	}
	r.cancel()
	r.client.abort()
	if r.target != nil {
		r.target.abort()
	}
}

// close closes the connection to the target, gives back the session's slots, closes the client's connection, and reports
// the session, in that order: a client that sees the end must not be refused for a session that has ended. Nobody uses the
// connections any more.
func (r *runner) close() {
	r.mu.Lock()
	r.settled = true
	r.cancel()
	if r.timer != nil {
		r.timer.Stop()
	}
	ending := r.ending
	r.ending = nil
	if ending != nil {
		r.engine.endings.over(ending) // the kernel reports nothing of a socket that is closed
	}
	if r.target != nil {
		r.target.Close() // closing twice is harmless
	}
	r.session.Leave(r.now())
	r.mu.Unlock()
	if ending != nil {
		r.engine.endings.remove(ending)
	}
	r.client.Close() // what is still to be sent, the kernel goes on sending
	r.record.Port, r.record.Address = r.port.Name(), r.port.Address()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reported = true
	r.session.Account(&r.record, r.now())
}

// goesTo reports whether the session is connected to t.
func (r *runner) goesTo(t *upstream.Target) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.Phase == session.Relaying && r.session.Target(session.Target).Same(t)
}

func newSide(conn stream, index int) *side {
	raw, err := conn.SyscallConn()
	if err != nil { // package net: only for a nil connection
		panic(err)
	}
	_, unix := conn.(*net.UnixConn)
	return &side{stream: conn, raw: raw, unix: unix, index: index}
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
