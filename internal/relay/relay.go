// Package relay is the data plane: the definition of an engine, and what engines share with the packages above.
//
// An engine accepts on ports, takes each connection to a target of its port's route, moves bytes both ways until both
// sides are done, and reports every session once. The engines are subpackages: iocopy is the reference. They behave
// alike: what is not about moving bytes is decided once, by package session.
//
// Urgent data (tcp(7)) is relayed like all other bytes: in its place, and not as urgent.
//
// Open sessions of the engine loop can go on in another engine of that kind, in this process or the next (loop.Engine.Freeze and
// Adopt). Those of copy cannot, since what it has read is on the stacks of goroutines: it has no such method.
//
// How a session ends, in any engine:
//
//   - If a side finishes (FIN), the engine passes that on, and the other direction goes on until it finishes too. The cause
//     is the side that finished first.
//   - If a side resets, or the kernel gives it up, the other side is reset.
//   - A session that the proxy itself ends is reset on both sides, so that no peer can take a cut stream for a whole
//     one. So is a client without a target. Unix sockets have no reset and are closed.
package relay

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/meter"
	"tcp-proxy/internal/sanitize"
	"tcp-proxy/internal/upstream"
)

// Engine accepts connections and carries them. Its methods are safe for concurrent use.
type Engine interface {
	// Open begins to accept on a port, whose listener is the engine's from then on. On an error it is closed.
	Open(*Port) error
	// Close stops accepting on an open port, closes its listener, and returns when no new session can begin there. Open
	// sessions go on.
	Close(*Port) error
	// Control calls f with the descriptor of an open port's listening socket, which f must not keep.
	Control(p *Port, f func(fd int) error) error
	// Wait returns nil once no session is open, or the context's error.
	Wait(context.Context) error
	// End resets every open session, with the given cause. It does not wait until they have ended.
	End(Cause)
	// EndTarget resets every session that is connected to the target, with the given cause. It does not wait until they
	// have ended.
	EndTarget(*upstream.Target, Cause)
	// Sessions returns the open sessions of a selection. It holds up sessions no longer than Sample does. If the context is
	// done first, it returns what it has found by then. Sessions that begin or end meanwhile may be missing.
	Sessions(context.Context, Selection) OpenSessions
	// EndSession resets the open session with that ID, with the given cause, whatever it does or waits for. The error is
	// ErrNoSession if there is none, and that of the context if it is done before the session was found.
	EndSession(ctx context.Context, id uint64, cause Cause) error
	// Sample adds what every open session has moved so far to the meter of its route, and returns when that is done. It
	// holds up sessions briefly at most: an event loop samples for about 1 ms per turn, the engine copy locks one session
	// at a time.
	Sample()
	// Alive returns nil once the engine has shown that it answers, and that each port on which a connection waits is
	// being accepted on unless no worker is free. If the context is done first, the error says what is stuck. An engine
	// whose own locks are stuck does not return at all.
	Alive(context.Context) error
	// Stop gives back what the engine holds. Every port was closed and every session has ended before.
	Stop() error
}

// Port is one listening socket and where its connections go. Make it with NewPort.
type Port struct {
	Listener  net.Listener
	Inherited bool                  // the service manager has made the socket and passed it; set before the port is open
	Route     atomic.Pointer[Route] // never nil once the port is open; a session keeps the one that it was accepted with

	name    atomic.Pointer[string]
	address string
}

// NewPort makes a port of a listening socket, without a route.
func NewPort(name string, l net.Listener) *Port {
	p := &Port{Listener: l}
	if l != nil { // tests have ports that are never opened
		p.address = addressOf(l.Addr())
	}
	p.Rename(name)
	return p
}

func addressOf(a net.Addr) string {
	text := sanitize.Text(a.String(), sanitize.Limit)
	if a.Network() == "unix" {
		return "unix:" + text
	}
	return text
}

// Name returns the port as the configuration gives it.
func (p *Port) Name() string { return *p.name.Load() }

// Address returns where the port listens: IP:PORT, or "unix:" and a path.
func (p *Port) Address() string { return p.address }

// String returns the name, and for an inherited socket also the address, which the name need not tell.
func (p *Port) String() string {
	if !p.Inherited {
		return p.Name()
	}
	return p.Name() + " (" + p.address + ")"
}

// Rename changes the name: another configuration gives the same socket in other words. Sessions have the name of their
// port at the time that they are reported.
func (p *Port) Rename(name string) { p.name.Store(&name) }

// Route is the immutable snapshot of an app's policy that a session takes at accept time. Zero times and rates are no
// limit.
type Route struct {
	App              string
	Targets          *upstream.Set
	Gate             *admit.Gate     // who may come in; nil: everybody
	ProxyFrom        admit.Networks  // peers that have to begin with a PROXY header; see WantsHeader
	ProxyTimeout     time.Duration   // for it to be complete
	ConnectTimeout   time.Duration   // for one attempt
	ConnectAttempts  int             // targets tried for one session; 0: every target once
	IdleTimeout      time.Duration   // without a byte either way
	HalfCloseTimeout time.Duration   // the same, once one side has finished
	MaxDuration      time.Duration   // of a session, from accept on, whatever it does
	Upload, Download int             // bytes a second of one session, to the target and to the client
	Keepalive        linux.Keepalive // of target connections; clients have their listener's
	SendProxy        int             // the version of the PROXY header that targets are sent; 0: none
	SourceAddress    netip.Addr      // where TCP connections to targets come from; the zero Addr leaves it to the kernel
	Meter            *meter.App      // counts the sessions and their bytes; nil: nobody does
}

// Events are called when something happens. Every function is set; they are called from many goroutines and must not block.
type Events struct {
	Own *Own // recognises the proxy's own connections; nil: nobody does, and LoopDetected is not called
	// Ended is called once for each session, when both its sockets are closed and before it gives its worker back. The
	// record is the engine's again when it returns.
	Ended func(*Record)
	// ConnectFailed is called for each failed attempt; died tells whether it found a live target dead.
	ConnectFailed func(r *Route, t *upstream.Target, err error, died bool)
	// Connected is called when a session is connected to its target.
	Connected func(*Route)
	// LoopDetected is called when a connection to a target, of a session with that route, has come back to an app that it
	// has come by already.
	LoopDetected func(*Route, *upstream.Target)
	// TargetBack is called when a session's connect brings a dead target back.
	TargetBack func(*Route, *upstream.Target)
	// Demoted is called when an address of a name has lost so many connection races in a row that it is tried after the
	// other addresses of that name for a while.
	Demoted func(*Route, *upstream.Target)
	// AcceptFailing is called when accepting on a port begins to fail, and AcceptResumed when it works again.
	AcceptFailing func(*Port, error)
	AcceptResumed func(p *Port, after time.Duration)
	// Short is called when something else than a connect fails because this machine lacks something, and Works when that
	// has worked. Without a route no app is concerned more than another.
	Short func(Lack, *Route, error)
	Works func(Lack, *Route)
}
