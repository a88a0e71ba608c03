// Package probe checks targets actively, and feeds what it finds to their state machine, which counts rise and fall.
//
// One goroutine with one epoll instance (epoll(7)) drives every check over non-blocking sockets, so that thousands of
// targets cost two descriptors, and one for each check under way, of which there are at most a thousand. What it does in
// one turn is bounded, also where connects fail at once: the checks under way are looked at in between. Only taking up a
// change of an app's targets goes through all of them at once. A check:
//
//	        ┌── not to be probed (alive, with "when": "dead") ── parked ◀── Wake: it is dead ──┐
//	        │                                                      └──────────────────┐        │
//	resting ── due ──▶ queued ── a place is free ──▶ connecting ──▶ sending ──▶ reading
//	   ▲                                                 │             │           │
//	   └───────────────────── verdict ───────────────────┴─────────────┴───────────┘
//
// A plain connect is over as soon as the connection stands; what there is to send is sent; and what is to be expected is
// read only as far as it takes to tell. All of it has to be done within the time-out. Before the first byte goes a PROXY
// header that names nobody, where targets want one; as in HAProxy, not on a port that is for checks alone. What tells
// nothing of the target, such as a lack of descriptors here, is no verdict: the check is made again a little later.
//
// The time-out is time in which the prober looked: what it stood still for (SIGSTOP, a machine that did not get its
// processor) does not count. And what is in the socket when the time-out comes is read before that is believed.
//
// How a connection ends depends on what was said on it. A plain connect is reset, as by HAProxy: it holds back the last
// packet of the handshake (tcp(7), TCP_QUICKACK), and the reset goes in its place, so that the kernel at the other end
// drops the connection before the program has accepted it. The program is not troubled at all, and neither end has a
// connection in TIME_WAIT. Where the target's program has spoken or was spoken to, a reset would be an error that it
// logs: HAProxy sends it nevertheless unless told "linger"; here the connection becomes a farewell (farewell.go) and
// ends with FIN on both sides. A check that got no answer, and what is not finished in time, is reset.
package probe

import (
	"errors"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/upstream"
)

// Report is called when a verdict has changed what a target is. It is called on the prober's goroutine and must not
// block. err is what the check found wrong; nil if the target is back.
type Report func(app string, t *upstream.Target, change upstream.Change, err error)

// Prober checks the targets of any number of apps. It is safe for concurrent use.
type Prober struct {
	report Report
	epoll  *linux.Epoll
	bell   *linux.Waker
	start  time.Time
	ended  chan struct{} // closed when run returns

	mu     sync.Mutex // guards what follows
	orders []func()   // for the goroutine
	closed bool

	// What follows is the goroutine's alone.
	watches   map[string]*watch // by app
	checks    map[upstream.Identity]*check
	schedule  schedule
	queue     queue // those that are due and wait for a place
	flights   flights
	farewells farewells
	buffer    []byte // what is sent and read goes through here; holds nothing between two calls
	address   unix.RawSockaddrAny
	now       int64 // nanoseconds since start, at the begin of the turn
	behind    bool  // there are orders that the last turn has left
}

// New starts a prober, which Close ends.
func New(report Report) (*Prober, error) {
	p := &Prober{
		report:    report,
		start:     time.Now(),
		ended:     make(chan struct{}),
		watches:   map[string]*watch{},
		checks:    map[upstream.Identity]*check{},
		buffer:    make([]byte, bufferSize),
		flights:   newFlights(),
		farewells: newFarewells(),
	}
	var err error
	if p.epoll, err = linux.NewEpoll(); err != nil {
		return nil, err
	}
	if p.bell, err = linux.NewWaker(); err != nil {
		p.epoll.Close()
		return nil, err
	}
	if err = p.epoll.Add(p.bell.FD(), unix.EPOLLIN|unix.EPOLLET, bellEvent); err != nil {
		p.bell.Close()
		p.epoll.Close()
		return nil, err
	}
	go p.run()
	return p, nil
}

// Manner is how the targets of an app are checked.
type Manner struct {
	config.Probe
	Source    netip.Addr // local address; one that is not valid leaves it to the kernel
	SendProxy int        // the version of the PROXY protocol that the targets' own ports want; 0: none
}

// Watch checks the endpoints of an app's set from now on, in place of what was watched for that app. If the manner is
// the same, endpoints that stay keep their schedule.
func (p *Prober) Watch(app string, set *upstream.Set, manner Manner) {
	p.order(func() { p.watch(app, set, manner) })
}

// Refresh takes up a change of the endpoints of the app's set.
func (p *Prober) Refresh(app string) {
	p.order(func() {
		if w := p.watches[app]; w != nil {
			p.reconcile(w)
		}
	})
}

// Forget ends the checks of an app. One that is under way has no verdict.
func (p *Prober) Forget(app string) {
	p.order(func() { p.forget(app) })
}

// Wake says that t has just been found dead: its first check is due at once.
func (p *Prober) Wake(t *upstream.Target) {
	p.order(func() { p.wake(t) })
}

// Close ends every check and waits for the goroutine. There is no report after it, and what is called then does nothing.
// It is called once.
func (p *Prober) Close() error {
	p.mu.Lock()
	p.closed = true
	p.bell.Wake()
	p.mu.Unlock()
	<-p.ended
	return errors.Join(p.epoll.Close(), p.bell.Close())
}

// order has the goroutine call f.
func (p *Prober) order(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.orders = append(p.orders, f)
		p.bell.Wake()
	}
}
