package loop

import (
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/reactor"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/relay/session"
)

// acceptor accepts from a listener in one loop; every loop has one. For a connection, the kernel wakes one of them
// (EPOLLEXCLUSIVE). It is level-triggered: connections that it leaves are an event again.
type acceptor struct {
	*listener
	state  acceptorState
	waiter *admit.Waiter // while it waits for a worker
	until  int64         // while it backs off
}

type acceptorState uint8

const (
	acceptorClosed     acceptorState = iota
	acceptorRegistered               // with epoll
	acceptorWaiting                  // for a worker; new connections wait in the kernel's backlog
	acceptorBackingOff               // after an error
)

// openAcceptor begins to accept from a listener.
func (l *loop) openAcceptor(x *listener) error {
	for int(x.number) >= len(l.acceptors) {
		l.acceptors = append(l.acceptors, nil)
	}
	a := &acceptor{listener: x}
	l.acceptors[x.number] = a
	return l.registerAcceptor(a)
}

// closeAcceptor ends that.
func (l *loop) closeAcceptor(x *listener) {
	a := l.acceptors[x.number]
	l.acceptors[x.number] = nil
	switch a.state {
	case acceptorRegistered:
		l.unregister(a)
	case acceptorWaiting:
		a.waiter.Cancel() // or granted will be called, and finds the acceptor closed
	case acceptorBackingOff:
		l.backingOff--
	}
	a.state = acceptorClosed
}

func (l *loop) registerAcceptor(a *acceptor) error {
	err := l.reactor.Add(a.fd, unix.EPOLLIN|unix.EPOLLEXCLUSIVE, reactor.Special|uint64(a.number))
	if err == nil {
		a.state = acceptorRegistered
	}
	return err
}

func (l *loop) unregister(a *acceptor) {
	_ = l.reactor.Remove(a.fd) // fails only if it is not there
}

// acceptBatch is how many connections a turn accepts from a port, by the number of its events: a turn that does little is
// followed by another soon, and accepting once more than there are connections is a wasted call.
func acceptBatch(events int) int { return 1 + events/4 }

// acceptsPerTurn is how many connections a turn accepts at most from all ports, not counting one for each worker that was
// waited for.
const acceptsPerTurn = 128

// acceptFrom is called when a port has an event.
func (l *loop) acceptFrom(a *acceptor) {
	if a != nil && a.state == acceptorRegistered && l.accepts > 0 {
		l.accept(a, false)
	}
}

// granted is called with a worker that the acceptor has waited for.
func (l *loop) granted(a *acceptor) {
	a.waiter = nil
	if a.state == acceptorClosed {
		l.engine.workers.Release()
		return
	}
	l.accept(a, true)
}

// accept accepts a batch of the connections that wait at a port, as far as there are workers; hasWorker says that one was
// taken for the first of them. The others are an event again, or are accepted with a worker that is waited for.
func (l *loop) accept(a *acceptor, hasWorker bool) {
	for n := max(1, min(l.batch, l.accepts)); n > 0; n-- {
		if !hasWorker && !l.takeWorker(a) {
			return
		}
		hasWorker = false
		if !l.acceptOne(a) {
			break
		}
		l.accepts--
	}
	if a.state == acceptorWaiting { // it is not registered
		if err := l.registerAcceptor(a); err != nil {
			l.backOff(a, err)
		}
	}
}

// takeWorker takes a worker, or reports false and waits for one. Meanwhile nothing is accepted.
func (l *loop) takeWorker(a *acceptor) bool {
	if l.engine.workers.TryAcquire() {
		return true
	}
	a.waiter = l.engine.workers.Request(func() {
		l.reactor.Post(func() { l.granted(a) })
	})
	if a.waiter == nil {
		return true
	}
	if a.state == acceptorRegistered {
		l.unregister(a)
	}
	a.state = acceptorWaiting
	return false
}

// acceptOne accepts one connection, with a worker that was taken for it. It reports false if there is none.
func (l *loop) acceptOne(a *acceptor) bool {
	a.rounds.Add(1)
	fd, errno := linux.Accept(a.fd, &l.peer)
	for errno == unix.EINTR || errno == unix.ECONNABORTED {
		fd, errno = linux.Accept(a.fd, &l.peer)
	}
	if errno != 0 {
		l.engine.workers.Release()
		if errno != unix.EAGAIN {
			l.backOff(a, os.NewSyscallError("accept4", errno))
		}
		return false
	}
	if a.failing.Load() {
		l.engine.resumed(a.listener)
	}
	if a.heirs.Lacks() {
		a.heirs.Complete(fd, a.port.Route.Load().Keepalive)
	}
	l.engine.open.Enter()
	begun := l.engine.clock()
	to := l.engine.choose(l)
	to.open.Add(1)
	if to == l {
		l.begin(fd, a.port, &l.peer, begun)
		return true
	}
	peer := l.peer
	to.reactor.Post(func() { to.begin(fd, a.port, &peer, begun) })
	return true
}

// begin begins the session of an accepted connection, which owns a worker.
func (l *loop) begin(fd int, port *relay.Port, peer *unix.RawSockaddrAny, begun int64) {
	s := l.sessions.take()
	s.side[client].fd = int32(fd)
	var from netip.AddrPort
	if s.setPeer(peer) {
		from = netip.AddrPortFrom(s.peerAddr(), s.peerPort)
	}
	c, route := l.cold(s), port.Route.Load()
	c.port = port
	c.Begin(&s.State, l.nextID(), route, &l.engine.events, begun)
	s.paced = route.Upload > 0 || route.Download > 0
	if err := l.register(s, client); err != nil {
		l.do(s, c.End(relay.Internal, err))
		return
	}
	l.do(s, c.OnAccept(from, s.side[client].mark.has(isUnix), fd))
}

// backOff stops accepting for a while, because accept failed. Idle pipes are closed: descriptors may be what is missing.
func (l *loop) backOff(a *acceptor, err error) {
	if a.state == acceptorRegistered {
		l.unregister(a)
	}
	l.pipes.trim(0)
	a.state = acceptorBackingOff
	a.until = l.engine.clock() + int64(l.engine.failed(a.listener, err))
	l.backingOff++
	if l.backingOff == 1 || a.until < l.retryAt {
		l.retryAt = a.until
	}
}

// acceptingNext is the moment to call retryAccepting at, or Never.
func (l *loop) acceptingNext() int64 {
	if l.backingOff == 0 {
		return session.Never
	}
	return l.retryAt
}

// retryAccepting registers the acceptors again that have backed off for long enough.
func (l *loop) retryAccepting() {
	if l.backingOff == 0 || l.now < l.retryAt {
		return
	}
	l.retryAt = session.Never
	tried := 0
	for _, a := range l.acceptors {
		if a == nil || a.state != acceptorBackingOff {
			continue
		}
		if a.until > l.now || tried == acceptsPerTurn {
			l.retryAt = min(l.retryAt, a.until)
			continue
		}
		tried++
		if l.registerAcceptor(a) == nil {
			l.backingOff--
			continue
		}
		a.until = l.now + int64(mostPause)
		l.retryAt = min(l.retryAt, a.until)
	}
}

// How long accepting pauses after an error: at first, and at most.
const (
	firstPause = 5 * time.Millisecond
	mostPause  = time.Second
)
