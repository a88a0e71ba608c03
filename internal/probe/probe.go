// Package probe checks targets actively, and feeds what it finds to their state machine, which counts rise and fall.
//
// One goroutine with a reactor drives every check over non-blocking sockets, so that thousands of targets cost two
// descriptors, and one for each check in flight, of which there are at most a thousand. What it does in one turn is
// bounded, also where connects fail at once: events of the checks in flight are handled in between. Only a change of an
// app's targets goes through all of them at once. A check:
//
//	   ┌── not to be probed (alive, with "when": "dead") ──▶ parked ── CheckNow: it is dead ──┐
//	   │                                                                                      │
//	resting ── due ──▶ queued ── a slot is free ──▶ connecting ──▶ sending ──▶ reading         │
//	   ▲                 ▲                              │             │           │            │
//	   │                 └──────────────────────────────┼─────────────┼───────────┼────────────┘
//	   └──────────────────────── verdict ───────────────┴─────────────┴───────────┘
//
// A plain connect has passed as soon as the connection is established; what there is to send is sent; and an answer is
// read only as far as it takes to tell. All of it has to be done within the time-out. Before the first byte goes a PROXY
// header that names nobody, where targets want one; as in HAProxy, not on a port that is for checks alone. What tells
// nothing of the target, such as a lack of descriptors here, is no verdict: the check is made again a little later.
//
// Time for which the process did not run (SIGSTOP, a machine that did not get its processor) does not count for the
// time-out. What is in the socket when the time-out comes is read first.
//
// How a connection ends depends on what was said on it. A plain connect is reset, as by HAProxy: it holds back the last
// packet of the handshake (tcp(7), TCP_QUICKACK), and the reset goes in its place, so that the kernel at the other end
// drops the connection before the program has accepted it. The program is not troubled at all, and neither end has a
// connection in TIME_WAIT. Where the target's program has spoken or was spoken to, a reset would be an error that it
// logs: HAProxy sends it nevertheless unless told "linger"; here the connection is closed in good order (closing.go), with
// FIN on both sides. A check that got no answer, and what is not finished in time, is reset.
package probe

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/reactor"
	"tcp-proxy/internal/upstream"
)

// Report is called when a verdict has changed what a target is. It is called on the prober's goroutine and must not
// block. err is what the check found wrong; nil if the target is back.
type Report func(app string, t *upstream.Target, change upstream.Change, err error)

// Prober checks the targets of any number of apps. It is safe for concurrent use.
type Prober struct {
	report  Report
	reactor *reactor.Reactor
	start   time.Time
	ended   chan struct{} // closed when run returns

	// What follows is the goroutine's alone.
	groups     map[string]*group // by app
	checks     map[upstream.Identity]*check
	tasks      reactor.Table[task]
	queue      queue // those that are due and wait for an in-flight slot
	inFlight   slots
	closings   []*closing
	maxClosing int
	buffer     []byte // what is sent and read goes through here; holds nothing between two calls
	address    unix.RawSockaddrAny
	now        int64 // nanoseconds since start, when the turn began
	stopping   bool
}

// New starts a prober, which Close ends.
func New(report Report) (*Prober, error) {
	p := &Prober{
		report: report,
		start:  time.Now(),
		ended:  make(chan struct{}),
		groups: map[string]*group{},
		checks: map[upstream.Identity]*check{},
		buffer: make([]byte, bufferSize),
	}
	p.inFlight.limit, p.maxClosing = limits()
	var err error
	if p.reactor, err = reactor.New(p.clock); err != nil {
		return nil, err
	}
	go p.run()
	return p, nil
}

func (p *Prober) clock() int64 { return int64(time.Since(p.start)) }

// Config is how the targets of an app are checked.
type Config struct {
	config.Probe
	Source    netip.Addr // local address; one that is not valid leaves it to the kernel
	SendProxy int        // the version of the PROXY protocol that the targets' own ports want; 0: none
}

// Monitor checks the endpoints of an app's set from now on, in place of those that were checked for that app. If the
// configuration is the same, endpoints that stay keep their schedule.
func (p *Prober) Monitor(app string, set *upstream.Set, c Config) {
	p.reactor.Post(func() { p.monitor(app, set, c) })
}

// Refresh takes up a change of the endpoints of the app's set.
func (p *Prober) Refresh(app string) {
	p.reactor.Post(func() {
		if g := p.groups[app]; g != nil {
			p.reconcile(g)
		}
	})
}

// Forget ends the checks of an app. One that is in flight has no verdict.
func (p *Prober) Forget(app string) {
	p.reactor.Post(func() { p.forget(app) })
}

// CheckNow says that t has just been found dead: its first check is due at once.
func (p *Prober) CheckNow(t *upstream.Target) {
	p.reactor.Post(func() { p.checkNow(t) })
}

// Close ends every check and waits for the goroutine. There is no report after it, and what is called then does nothing.
// It is called once.
func (p *Prober) Close() error {
	p.reactor.Post(func() { p.stopping = true })
	<-p.ended
	return p.reactor.Close()
}
