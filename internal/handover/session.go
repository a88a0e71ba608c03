package handover

import (
	"net/netip"
	"slices"
)

// Session is one session. Its sockets are found by their cookies (socket(7): SO_COOKIE), which no two sockets have had since
// the machine was started.
type Session struct {
	ID     uint64 // as in the list of open sessions
	Phase  Phase
	Route  int // index in State.Routes
	Port   int // index in State.Ports
	Target int // index in State.Targets; NoTarget unless it is Relaying

	First    uint8 // 1 + the side that has finished first; 0: none has
	Finished uint8 // the sides that have finished, and all bytes of which were passed on; a bit each
	Broken   uint8 // the sides that have broken while there may be bytes left to relay; a bit each

	Admitted     bool // the gate counts it
	Early        bool // the target has finished first, and soon after its connect
	LocalFault   bool // every connect that has failed so far was this machine's fault
	KeepaliveSet bool // on the target's socket, or it needs none
	FromHere     bool // the client is on this machine; it has come through its own app only, unless Notes.Origins has it

	Busy bool // bytes are being moved between unix sockets, which have no counters; see Ledger.SetBusy

	Side [2]Side // Client and Server
	Flow [2]Flow // from Client and from Server

	Peer     netip.AddrPort // who has connected, without a zone; not valid on a unix socket
	PeerZone uint32         // the index of its network interface (ipv6(7): sin6_scope_id); 0: none

	// The addresses in the client's PROXY header, both or none.
	HeaderSource, HeaderDestination netip.AddrPort

	Attempts uint32 // how many targets were tried
	Tried    []int  // which, in their order: indices in State.Targets. A ledger has none
	Failure  string // the error of the last attempt that failed. A ledger has none
	Ticket   uint64 // its position in the queue of the app, the lowest first; 0: it has not waited

	Begun     int64 // accepted
	Connected int64 // to its target
	Moved     int64 // a byte was last relayed, or a side has finished
	ResetAt   int64 // when a broken side ends the session
	Until     int64 // when the header or the slot that it waits for is given up; 0: not by the clock, or it waits for neither
}

// NoTarget is the Target of a session that is not connected to one.
const NoTarget = -1

// The sides of a session. They index Session.Side, and Session.Flow for what comes from there.
const (
	Client = 0
	Server = 1 // the target
)

// Phase is how far a session has come, as package session has it.
type Phase uint8

// The phases. A session that is admitted and not yet Relaying is connected anew: a connect is not handed over.
const (
	AwaitsHeader Phase = 1 + iota // the client's PROXY header
	Recounting                    // the gate is asked again
	Choosing                      // the next target is to be picked
	Waiting                       // for a slot on a target
	Connecting
	Relaying
)

// Side is one socket of a session.
type Side struct {
	Cookie   uint64 // 0: there is no socket, which only a session has that is not Relaying
	Finished bool   // FIN was read
	PassedOn bool   // and passed on to the other side
	Broken   bool   // it was reset, or given up by the kernel, which reports that only once
	Urgent   bool   // it may have urgent data: a short read does not mean that all was read
	Unix     bool
	Written  bool // something was written
	NoDelay  bool // TCP_NODELAY is set
}

// Flow is what goes from one side to the other.
type Flow struct {
	Moved   int64  // bytes written
	Metered int64  // how many of them the meter of the route has counted
	Pending []byte // read and not written; of a session in the phase AwaitsHeader, the begin of the header. A ledger has none

	// Balance is, while no byte of the flow is inside the process, by the kernel's counters (TCP_INFO, SIOCINQ, SIOCOUTQ):
	//
	//	(bytes_received - SIOCINQ - FIN in) - (bytes_acked + SIOCOUTQ - FIN out)
	//
	// The first is of the socket that the flow comes from, the second of the one it goes to. It stays the same as long as the
	// process loses no byte and adds none.
	Balance      int64
	BalanceKnown bool

	Rate Rate
}

// Rate is the state of a ratelimit.Pacer, the rate of which is the route's.
type Rate struct {
	Missing int64 // until its bucket is full, in billionths of a byte
	At      int64 // the time that Missing is for
}

func (s *Session) fields(f *fields) {
	s.ID = f.uint64(s.ID)
	s.Phase = Phase(f.uint8(uint8(s.Phase)))
	s.First = f.uint8(s.First)
	s.Finished = f.uint8(s.Finished)
	s.Broken = f.uint8(s.Broken)
	s.Route = f.index(s.Route)
	s.Port = f.index(s.Port)
	s.Target = f.index(s.Target)
	f.flags(&s.Admitted, &s.Early, &s.LocalFault, &s.KeepaliveSet, &s.FromHere)
	for i := range s.Side {
		s.Side[i].fields(f)
	}
	for i := range s.Flow {
		s.Flow[i].fields(f)
	}
	s.Peer = f.socketAddress(s.Peer)
	s.PeerZone = f.uint32(s.PeerZone)
	s.HeaderSource = f.socketAddress(s.HeaderSource)
	s.HeaderDestination = f.socketAddress(s.HeaderDestination)
	s.Attempts = f.uint32(s.Attempts)
	s.Tried = f.indices(s.Tried)
	s.Failure = f.string(s.Failure)
	s.Ticket = f.uint64(s.Ticket)
	s.Begun = f.amount(s.Begun)
	s.Connected = f.amount(s.Connected)
	s.Moved = f.amount(s.Moved)
	s.ResetAt = f.amount(s.ResetAt)
	s.Until = f.amount(s.Until)
}

func (s *Side) fields(f *fields) {
	s.Cookie = f.uint64(s.Cookie)
	f.flags(&s.Finished, &s.PassedOn, &s.Broken, &s.Urgent, &s.Unix, &s.Written, &s.NoDelay)
}

func (w *Flow) fields(f *fields) {
	w.Moved = f.amount(w.Moved)
	w.Metered = f.amount(w.Metered)
	w.Pending = f.bytes(w.Pending)
	w.Balance = f.int64(w.Balance)
	f.flags(&w.BalanceKnown)
	w.Rate.Missing = f.amount(w.Rate.Missing)
	w.Rate.At = f.amount(w.Rate.At)
}

func (s *Session) used() bool { return true }

func (s *Session) isBusy() *bool { return &s.Busy }

// sides has a bit for each side.
const sides = 1<<Client | 1<<Server

// lack returns what is wrong with a session, beyond its fields alone; empty: nothing. has reports whether there is a record of
// a kind.
func (s *Session) lack(has func(k kind, n int) bool) string {
	switch {
	case !has(routes, s.Route):
		return "there is no such route"
	case !has(ports, s.Port):
		return "there is no such port"
	case s.Target != NoTarget && !has(targets, s.Target):
		return "there is no such target"
	case slices.ContainsFunc(s.Tried, func(n int) bool { return !has(targets, n) }):
		return "there is no such target as it has tried"
	case s.Phase < AwaitsHeader || s.Phase > Relaying:
		return "its phase is not known"
	case s.First > 1+Server || s.Finished > sides || s.Broken > sides:
		return "a side that has finished or broken is not known"
	case s.Side[Client].Cookie == 0:
		return "it has no socket of a client"
	case s.Phase == Relaying && (s.Side[Server].Cookie == 0 || s.Target == NoTarget):
		return "it relays, and has no target"
	case s.Phase != Relaying && (s.Side[Server].Cookie != 0 || s.Target != NoTarget):
		return "it has a target, and does not relay"
	case s.HeaderSource.IsValid() != s.HeaderDestination.IsValid():
		return "its PROXY header has only one address"
	case s.Flow[Client].Metered > s.Flow[Client].Moved || s.Flow[Server].Metered > s.Flow[Server].Moved:
		return "more bytes are counted than were moved"
	}
	return ""
}
