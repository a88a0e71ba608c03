// Package loop is the engine "loop": one goroutine for each processor, each with an epoll instance (epoll(7),
// edge-triggered) and its own sessions, from accept to close, over raw non-blocking sockets.
//
// What a session does next is decided by package session, which has its states: the loop reports events and does the
// actions. A session whose connects fail at once goes on with its next targets in a later turn after a few of them. A loop
// does a bounded amount of anything in a turn, however many sessions, targets, commands or timers there are.
//
// While it relays, each of its two flows is in one of these conditions, which its marks show:
//
//	waiting to read ── event ──▶ readable ── read ──▶ pending ── written ──▶ readable or waiting to read
//	                                │                    │  ▲
//	                                │ FIN                └──┘ full: waiting for room, and reading nothing
//	                                ▼
//	                            finished ── all written ──▶ passed on
//
// A flow with a rate reads only what that permits, and waits for a timer if it permits nothing.
//
// A flow begins with recv(2) and send(2) through a buffer that all sessions of a loop share. When that is full several times
// in a row, it goes over to splice(2) through a pipe. A waiting flow holds neither. A pending flow holds at most bufferSize
// bytes in memory, or pipeSize bytes in a pipe or, once they were stuck there, in memory. Twice that, and the buffers of its
// sockets, is the most that a session holds. A turn moves at most turnBudget bytes of a flow before the other flows have
// their turn.
//
// The sessions of an engine can go on in another one, of this process or of the next: freeze.go, adopt.go, and frozen.go for
// the values in between.
//
// The path of a connection: accept.go, proxyheader.go, connect.go with early.go, relay.go with splice.go and pace.go,
// end.go. A session's memory and its actions: session.go and sessions.go. Time: deadline.go and late.go. What other
// goroutines ask of a loop: commands.go and recount.go.
package loop

import (
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/reactor"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/relay/session"
)

// loop is one goroutine that owns its sessions from accept to close. Fields are for that goroutine alone unless their comment
// says otherwise.
type loop struct {
	engine  *Engine
	shard   int // which of the engine's loops it is
	reactor *reactor.Reactor
	ended   chan struct{} // closed when run returns

	sessions sessionTable
	queue    []int32      // sessions with something to do now
	turns    []int32      // the queue of the turn before: the two are swapped
	open     atomic.Int64 // sessions it has or is being handed; read by the other loops

	acceptors  []*acceptor // of the ports, by their number in an event
	backingOff int         // acceptors that wait after an error
	retryAt    int64       // when the first of those is to try again
	batch      int         // how many connections an acceptor may take now
	accepts    int         // how many all acceptors may still take in this turn

	pipes     pipes
	unloaded  int                 // bytes of memory that pipes were unloaded to
	spare     [][]byte            // buffers for what could not be written
	buffer    []byte              // what is read goes through here; holds nothing between two calls
	peer      unix.RawSockaddrAny // whose connection was accepted last
	address   unix.RawSockaddrAny // that is connected to
	record    relay.Record        // that is reported
	described relay.OpenSession   // that is collected

	lastID   uint64 // of the session that has begun last
	turn     uint64 // counts turns
	askedIn  uint64 // the turn in which a round of a recount has asked the loop
	answer   func() // answers that; nil: it is not asked
	now      int64  // the engine's clock when the turn began
	attempts int    // how many more connects may fail at once in this turn
	yielded  int64  // when the loop last let the scheduler run
	sweeps   int    // walks through the sessions that are not done
	stopping bool   // the loop ends once they are done

	standstill session.Standstill
}

func newLoop(e *Engine, shard int) (*loop, error) {
	r, err := reactor.New(e.clock)
	if err != nil {
		return nil, err
	}
	l := &loop{
		engine: e, shard: shard, reactor: r, ended: make(chan struct{}), buffer: make([]byte, bufferSize), now: r.Now(),
		batch: 1, accepts: acceptsPerTurn, lastID: uint64(shard),
	}
	l.pipes.budget, l.pipes.events = &e.pipes, &e.events
	return l, nil
}

// run is the loop's goroutine. A turn waits for events, notes them on their sessions, and then lets every session that has
// something to do move a bounded amount.
func (l *loop) run() {
	defer close(l.ended)
	for !l.stopping || l.sweeps > 0 {
		l.turn++
		events := l.reactor.Wait(l.timeout())
		l.wakeUp()
		ports := 0
		for i := range events {
			switch data := linux.EventData(&events[i]); {
			case data < reactor.Special:
				l.note(data, events[i].Events)
			case data != reactor.Wake:
				events[ports] = events[i] // kept for below: open sessions go before new ones
				ports++
			}
		}
		l.attempts = attemptsPerTurn
		l.batch, l.accepts = acceptBatch(len(events)), acceptsPerTurn
		l.reactor.RunCommands()
		l.work()
		l.answerRound(len(events))
		for i := range events[:ports] {
			l.acceptFrom(l.acceptors[uint32(linux.EventData(&events[i]))])
		}
		l.expire()
		l.tidyPipes()
		l.retryAccepting()
		l.yield()
	}
	l.pipes.trim(0)
}

// expire calls due for the sessions whose timers fire.
func (l *loop) expire() {
	l.reactor.RunTimers(func(id int32) { l.due(l.sessions.At(id)) })
}

// yieldInterval is less than the 10 ms after which the runtime holds a goroutine to be one that does not yield.
const yieldInterval = int64(5 * time.Millisecond)

// yield lets the scheduler run now and then. Otherwise the runtime's monitor, which does not see that the loop waits in
// between, interrupts it with signals, takes its processor at every system call, and never sleeps.
func (l *loop) yield() {
	if l.now-l.yielded >= yieldInterval {
		l.yielded = l.now
		runtime.Gosched()
	}
}

// timeout is how long the loop may wait for events, in milliseconds; -1 is for ever.
func (l *loop) timeout() int {
	if len(l.queue) > 0 || l.answer != nil || l.stopping {
		return 0
	}
	return l.reactor.Timeout(min(l.acceptingNext(), l.pipes.next()))
}

// note records an event in the marks of its session, if that has not ended, and queues the session.
func (l *loop) note(data uint64, events uint32) {
	s := l.sessions.Find(data)
	if s == nil {
		return
	}
	side := reactor.Tag(data)
	x := &s.side[side]
	if events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		x.mark |= readable
	}
	if events&unix.EPOLLOUT != 0 {
		x.mark &^= full
	}
	if events&unix.EPOLLRDHUP != 0 {
		x.mark |= peerFIN
	}
	if events&unix.EPOLLPRI != 0 {
		x.mark |= readUntilEAGAIN
	}
	if events&unix.EPOLLERR != 0 {
		x.mark |= broken
	}
	if s.Phase == session.Connecting && side != client {
		x.mark |= answered
	}
	l.push(s)
}

// register registers a side of the session with epoll, edge-triggered.
func (l *loop) register(s *sessionHot, side int) error {
	x := &s.side[side]
	events := uint32(unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLPRI | unix.EPOLLET)
	if side != client && (!x.mark.has(answered) || x.mark.has(full)) {
		events |= unix.EPOLLOUT
		x.mark |= watchesOut
	}
	return l.reactor.Add(int(x.fd), events, l.eventData(s, side))
}

// awaitRoom is called when the side takes no more bytes. EPOLLOUT is added lazily: a writable socket would fire at once.
func (l *loop) awaitRoom(s *sessionHot, side int) error {
	x := &s.side[side]
	x.mark |= full
	if x.mark.has(watchesOut) {
		return nil
	}
	x.mark |= watchesOut
	return l.registerAgain(s, side)
}

// registerAgain asks for all events of the side. Conditions that hold already fire again.
func (l *loop) registerAgain(s *sessionHot, side int) error {
	events := uint32(unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLPRI | unix.EPOLLET)
	return l.reactor.Modify(int(s.side[side].fd), events, l.eventData(s, side))
}

// eventData is what events of the session's side carry: its key, with the side as tag.
func (l *loop) eventData(s *sessionHot, side int) uint64 { return l.sessions.key(s) | uint64(side) }

// push queues the session for this turn, or for the next one if it is its turn now.
func (l *loop) push(s *sessionHot) {
	if !s.queued {
		s.queued = true
		l.queue = append(l.queue, s.id)
	}
}

// work gives each queued session its turn.
func (l *loop) work() {
	l.queue, l.turns = l.turns[:0], l.queue
	for _, id := range l.turns {
		s := l.sessions.At(id)
		if !s.queued { // it has ended; or ended, and another has its slot
			continue
		}
		s.queued = false
		l.step(s)
	}
}

// step does what the session can do now.
func (l *loop) step(s *sessionHot) {
	if s.Phase != session.Relaying && s.side[client].mark.has(broken) {
		l.do(s, l.cold(s).OnBroken(client, true, l.now))
		return
	}
	switch s.Phase {
	case session.Header:
		l.readProxyHeader(s)
	case session.Choosing:
		l.pick(s)
	case session.Connecting:
		l.stepConnect(s)
	case session.Relaying:
		l.stepRelay(s)
	}
}

// free gives back what newLoop made. The loop does not run.
func (l *loop) free() error { return l.reactor.Close() }
