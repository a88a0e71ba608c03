package loop

import (
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/relay/session"
)

// sessionHot is the hot half of a session: what events and bytes touch, without pointers, so that the garbage collector
// skips it. Times are nanoseconds of the engine's clock.
type sessionHot struct {
	session.State
	side [3]side
	flow [2]flow

	id int32 // its number in the session table

	queued       bool // it is in the loop's queue
	keepaliveSet bool // the target has its keepalive, or needs none
	paced        bool // its flows have a rate: the cold half has the pace

	peerPort uint16
	peerZone uint32
	peer     [16]byte // the address of who has connected; all zero for a unix socket

}

// The sides of a session, which are indexes: of sessionHot.side, and of sessionHot.flow for what comes from there.
const (
	client = session.Client
	target = session.Target
	racing = session.Racing
)

// side is the socket of one peer.
type side struct {
	fd   int32 // -1: none
	mark marks
}

// marks are what is known of a socket.
type marks uint16

const (
	readable        marks = 1 << iota // there may be something to read; without it, an event will come
	full                              // the socket takes no more; an event will come
	finished                          // FIN was read: there is nothing more to read
	passedOn                          // and the FIN was passed on
	peerFIN                           // EPOLLRDHUP: FIN has arrived, behind what is still to be read
	broken                            // EPOLLERR: reset, or given up by the kernel
	readUntilEAGAIN                   // a short read does not mean that all was read: urgent data (tcp(7)), or a unix socket
	isUnix
	watchesOut // registered for EPOLLOUT
	answered   // connecting: there was an event, or connect(2) has succeeded at once
	ephemeral  // connecting: to a port that the kernel might give to this very connection
	local      // connecting: to this machine's loopback address
	written    // something was written before
	noDelay    // TCP_NODELAY is set
)

func (m marks) has(all marks) bool { return m&all == all }
func (m marks) any(of marks) bool  { return m&of != 0 }

// flow is what goes from one side to the other.
type flow struct {
	moved   int64 // bytes written
	metered int64 // how many of them the route's meter knows of
	pipe    int32 // 1 + its index while it holds a pipe; 0: none
	pending int32 // bytes that were read and not written: in the pipe, or in the cold half's held
	offset  int32 // where they begin in held
	streak  uint8 // full buffers in a row
}

// sessionCold is the cold half of a session: what needs pointers.
type sessionCold struct {
	session.Session
	port *relay.Port
	pace *pace     // nil unless the session is paced
	held [2][]byte // what a flow has read and could not write; of a session in phase Header: of the header; nil if nothing
}

// cold is the cold half of a session.
func (l *loop) cold(s *sessionHot) *sessionCold { return l.sessions.cold(s) }

// do does what was decided for a session. It may have ended then.
func (l *loop) do(s *sessionHot, action session.Action) {
	switch action {
	case session.Wait, session.ReadHeader: // an event tells when there is something to read
		l.rearm(s)
	case session.Recount:
		l.recount(s)
	case session.Connect:
		l.pick(s)
	case session.AwaitSlot:
		l.awaitSlot(s)
	case session.Promote:
		if err := l.promote(s); err != nil {
			l.do(s, l.cold(s).End(relay.Internal, err))
			return
		}
		l.rearm(s)
	case session.SendHeader:
		l.sendProxyHeader(s)
	case session.Relay:
		l.rearm(s)
		l.stepRelay(s)
	case session.Abort:
		l.abort(s)
	case session.Finish:
		l.finish(s)
	}
}
