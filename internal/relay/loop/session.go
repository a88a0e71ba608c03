package loop

import (
	"sync/atomic"

	"tcp-proxy/internal/proxyproto"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/upstream"
)

// session is all that the kernel and time have to do with a session: plain data without a pointer, so that the garbage
// collector passes it by and another process can read it. What needs pointers is its cold half. Times are nanoseconds of
// the engine's clock.
type session struct {
	side [3]side
	flow [2]flow

	id int32 // its number in the session table

	state  state
	first  uint8 // 1 + the index of the side that finished first; 0: none has
	queued bool  // it is in the loop's queue
	option bool  // the target has its keepalive, or needs none
	paced  bool  // its flows are bounded: the cold half has the pace

	peerPort uint16
	peerZone uint32
	peer     [16]byte // the address of who has connected; all zero for a unix socket

	begun     int64 // accepted
	connected int64 // the target's connection stood, or none was left to try
	moved     int64 // a byte was moved or a side finished, at last
	brief     int64 // relaying: when a broken side ends the session, or 0

	// Before the target stands, each may be never.
	until      int64 // what the session waits for is given up: a header, a place, or the connect to the target
	rivalUntil int64 // the same of the connect to the rival; it is later
	alone      int64 // the connect, which is alone so far, is to have a rival
}

// state of a session. The package comment has the diagram.
type state uint8

const (
	free       state = iota
	greeting         // the PROXY header is awaited
	recounting       // a limit is in its way, unless sessions turn out to be over
	choosing         // the next target; it is queued
	awaiting         // a place on a target
	connecting
	relaying
)

// The sides of a session, which are indexes: of session.side, and of session.flow for what comes from there.
const (
	client = 0
	target = 1 // the target
	racing = 2 // connecting: another target, which is tried beside it
)

// side is the socket of one peer.
type side struct {
	fd   int32 // -1: none
	mark marks
}

// marks are what is known of a socket.
type marks uint16

const (
	readable marks = 1 << iota // there may be something to read; without it, an event will come
	full                       // the socket takes no more; an event will come
	finished                   // FIN was read: there is nothing more to read
	passedOn                   // and the other side was told
	hangup                     // EPOLLRDHUP: FIN has arrived, behind what is still to be read
	broken                     // EPOLLERR: reset, or given up by the kernel
	chatty                     // a short read does not mean that all was read: urgent data (tcp(7)), or a unix socket
	isUnix
	watchesOut // registered for EPOLLOUT
	answered   // connecting: there was an event, or it is known to stand without
	ephemeral  // connecting: to a port that the kernel might give to this very connection
	local      // connecting: to this machine's loopback address
	written    // something was written before
	noDelay    // TCP_NODELAY is set
)

func (m marks) has(all marks) bool { return m&all == all }
func (m marks) any(of marks) bool  { return m&of != 0 }

// flow is what goes from one side to the other.
type flow struct {
	moved   atomic.Int64 // bytes written; may be read by any goroutine
	metered int64        // how many of them the route's meter knows of
	pipe    int32        // 1 + its index while it holds a pipe; 0: none
	pending int32        // bytes that were read and not written: in the pipe, or in the cold half's held
	offset  int32        // where they begin in held
	streak  uint8        // full buffers in a row
}

// sessionCold is the cold half of a session: what has pointers, and what is seldom used.
type sessionCold struct {
	port     *relay.Port
	route    *relay.Route
	approach relay.Approach
	target   [3]*upstream.Target // by side: the one that is tried, or that it is connected to
	header   *proxyproto.Header  // what the PROXY header says of the client; nil: nothing
	pace     *pace               // nil unless the session is paced
	held     [2][]byte           // what a flow has read and could not write, or greeting: of the header; nil if nothing
}

// reset and closed are the causes of a session that ends for a side.
var (
	reset  = [2]relay.Cause{relay.ClientReset, relay.TargetReset}
	closed = [2]relay.Cause{relay.ClientClosed, relay.TargetClosed}
)
