package loop

import (
	"net/netip"
	"time"

	"tcp-proxy/internal/ratelimit"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/relay/session"
)

// Frozen is what an engine held when it was frozen: values, and descriptors that are its owner's until Adopt takes them.
type Frozen struct {
	Sessions []FrozenSession
	Ports    []FrozenPort // those that were open; a port that is not to be open again is taken out, and closed, before Adopt
	LastID   uint64       // no session had a higher ID
}

// FrozenPort is a port that was open. The Listener of a unix port is open, too; its Close removes the path.
type FrozenPort struct {
	Port         *relay.Port
	FD           int       // of its listening socket; the kernel goes on queueing connections there
	FailingSince time.Time // when accepting began to fail, which was reported; zero: it did not
}

// FrozenSession is an open session.
type FrozenSession struct {
	session.Frozen
	Port *relay.Port // where it was accepted; only its name and address count
	Peer netip.AddrPort
	Zone uint32 // the interface of a link-local peer (sin6_scope_id), which Peer does not have; 0: none

	Side   [2]FrozenSide // by session.Client and session.Target
	Flow   [2]FrozenFlow // by the side that they come from
	Header []byte        // what was received of the client's PROXY header, which is not complete

	KeepaliveSet bool // the target's socket has its keepalive, or needs none
}

// FrozenSide is the socket of one peer.
type FrozenSide struct {
	FD       int  // -1: it has none yet
	Finished bool // its FIN was read
	PassedOn bool // and the FIN was passed on
	Broken   bool // it is reset, or given up by the kernel, which may report that only once
	Urgent   bool // it has sent urgent data
	Unix     bool // it is no TCP socket
	Written  bool // something was written to it
	NoDelay  bool // TCP_NODELAY is set, by the engine
}

// FrozenFlow is what goes from one side to the other.
type FrozenFlow struct {
	Moved   int64  // bytes written, all of which the meter of the route has counted
	Pending []byte // bytes that were read and not written; an engine that adopts them does not write to that memory
	Pace    ratelimit.PacerState
}
