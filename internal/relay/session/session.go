// Package session decides what a session does next, from accept to close: whether its client may come in, which targets
// are tried and when one is raced against another, which time-out has expired, when a half-close or a reset is passed on,
// and the cause that is reported in the end.
//
// It does no I/O and reads no clock. An engine reports what happened and when, in nanoseconds of its own clock, and does
// what the returned Action says. So both engines decide alike, and a test needs neither sockets nor time.
//
//	          OnAccept ── a PROXY header is due ──▶ Header
//	             │                                  │   │
//	             │            OnHeader              │   │
//	             ▼ ◀────────────────────────────────┘   │
//	         admission ── refused ──────────────────────┤
//	             │  ▲ │                                 │
//	             │  │ │ too many sessions               │
//	             │  │ ▼                                 │
//	             │ Recounting ── still too many ────────┤
//	             │                                      │
//	             ▼                                      │
//	┌──────▶ Choosing ── no target left ────────────────┤
//	│          │   ▲ │                                  │
//	│          │   │ │ all targets are full             │
//	│          │   │ ▼                                  │
//	│          │  Waiting ── no slot in time ───────────┤ in any phase: client reset, stopped,
//	│          ▼                                        │ open for too long
//	└───── Connecting ──────────────────────────────────┤
//	  failed   │  to one target; after RaceAfter, to    │
//	           │  another address of its name as well   │
//	           │ connected                              │
//	           ▼                                        ▼
//	        Relaying ── reset, time-out, stopped ───▶ Abort
//	           │
//	           └─────── both sides have finished ───▶ Finish
//
// The files: admission.go until a target is chosen, connect.go until one is connected, relaying.go until the end,
// deadline.go for all that time does, account.go for what is given back and reported, frozen.go for a session that goes on in
// another engine.
package session

import (
	"errors"
	"net/netip"

	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/proxyproto"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/upstream"
)

// The sides of a session. They index what an engine keeps for each.
const (
	Client = 0
	Target = 1
	Racing = 2 // while connecting: the attempt that is raced against the one of Target
)

// Phase is how far a session has come. The package comment has the diagram.
type Phase uint8

// The phases.
const (
	None       Phase = iota // it has not begun
	Header                  // the client's PROXY header is awaited
	Recounting              // a limit is in its way, unless other sessions turn out to have ended
	Choosing                // the next target is to be picked
	Waiting                 // for a slot on a target
	Connecting
	Relaying
)

// Action is what the engine does next.
type Action uint8

// The actions.
const (
	Wait       Action = iota // for the next event, or until Deadline
	ReadHeader               // read the client's PROXY header, and report OnHeader
	Recount                  // take in which sessions have ended, and report OnRecount
	Connect                  // Pick a target and connect to it
	AwaitSlot                // Await a slot on a target
	Promote                  // the racing attempt is now that of Target: so is its socket; then Wait
	SendHeader               // send the target its PROXY header, and report OnHeaderSent
	Relay                    // move bytes
	Abort                    // reset both sides and any attempt; then Leave, close, and Account
	Finish                   // the same with a close in good order
)

// State is the part of a session that has no pointers: an engine may keep it where the garbage collector does not look.
// Times are on the engine's clock. The zero value is a session that has not begun.
type State struct {
	Phase Phase

	first    uint8 // 1 + the side that finished first; 0: none has
	finished uint8 // the sides that have finished, a bit each
	broken   uint8 // the sides that have broken while there may be bytes left to relay, a bit each
	early    bool  // the target finished first, and within Early of its connect

	begun     int64 // accepted
	connected int64 // the target's connection was established, or the session ended without one
	moved     int64 // a byte was last relayed, or a side finished
	resetAt   int64 // relaying: when a broken side ends the session; 0: none is broken

	// Before the target is connected; each may be Never.
	until  int64 // when what the phase waits for is given up: a header, a slot, or the attempt of Target
	raceAt int64 // when the attempt, which is alone so far, gets another to race against
}

// Begun is when the session was accepted.
func (s *State) Begun() int64 { return s.begun }

// Connected is when the target's connection was established.
func (s *State) Connected() int64 { return s.connected }

// Moved notes that bytes were relayed, or that a flow was held back by its rate until now.
func (s *State) Moved(now int64) { s.moved = now }

// LastMoved is when bytes were last relayed.
func (s *State) LastMoved() int64 { return s.moved }

// Finished reports whether a side has finished, and all that it sent was passed on.
func (s *State) Finished(side int) bool { return s.finished&(1<<side) != 0 }

// Session decides for one session. It is for one goroutine at a time. Memory of a session that has ended is reused by
// Begin. Every method that returns an Action returns Abort once the session has been ended by one.
type Session struct {
	state  *State
	route  *relay.Route
	events *relay.Events

	client  netip.Addr         // as admission knows it: without a zone; not valid on a unix socket
	header  *proxyproto.Header // what the client's PROXY header names; nil: nothing
	refused admit.Refusal      // why the gate did not let it in

	tried    upstream.Attempts
	waiter   *upstream.Waiter // nil unless it waits, or has waited
	attempts [2]attempt       // of Target, where it stays once it is connected, and of Racing
	err      error            // of the last attempt that failed

	id    uint64
	cause relay.Cause // why the session ends; empty while it does not
	why   error       // what is known beyond the cause

	origin *relay.Origin // memory for what is known of a session from this machine; see CheckCircle

	waitUntil int64 // when the next wait for a slot is given up, which continues one of another engine; 0: it is a wait of its own

	fromHere   bool // it is one
	admitted   bool // the gate counts it
	left       bool // its slots are given back
	unresolved bool // it waits for the first answer of a name, not for a slot
	localFault bool // every failure so far was this machine's
}

// attempt is a connect that is under way, or the connection that came of it. Without a target it is none.
type attempt struct {
	target   *upstream.Target
	begun    int64
	halfOpen bool // it decides whether a dead target is back
}

// Begin makes s the session of a connection that was accepted on a port with that route. id is given once in the life of the
// process: the engine counts its sessions. State is its own until Account. Account must follow.
func (s *Session) Begin(state *State, id uint64, route *relay.Route, events *relay.Events, now int64) {
	*s = Session{state: state, id: id, route: route, events: events, tried: s.tried, origin: s.origin, localFault: true}
	*state = State{Phase: Choosing, begun: now, until: Never, raceAt: Never}
	if route.Meter != nil {
		route.Meter.Begun()
	}
}

// ID names the session: no other one of the process has it, before or after.
func (s *Session) ID() uint64 { return s.id }

// Route is the policy that the session keeps to its end.
func (s *Session) Route() *relay.Route { return s.route }

// Target is the target that the session is connected to, or that is being tried for a side; nil: none.
func (s *Session) Target(side int) *upstream.Target { return s.attempts[side-Target].target }

// End ends the session for a cause that the engine has found. err is what is known beyond it, or nil. The first cause
// counts.
func (s *Session) End(cause relay.Cause, err error) Action {
	if s.cause == "" {
		s.cause, s.why = cause, err
	}
	return Abort
}

// Ended reports whether the session has a cause: Abort or Finish was returned.
func (s *Session) Ended() bool { return s.cause != "" }

// The causes of a session that ends because of a side.
var (
	resetCauses  = [...]relay.Cause{Client: relay.ClientReset, Target: relay.TargetReset}
	closedCauses = [...]relay.Cause{Client: relay.ClientClosed, Target: relay.TargetClosed}
)

// ErrBroken is the error of a session one side of which the kernel has given up, when no call has told why.
var ErrBroken = errors.New("connection reset by the peer or timed out by the kernel")
