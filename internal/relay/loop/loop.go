// Package loop is the engine "loop": one goroutine for each processor, each with an epoll instance (epoll(7),
// edge-triggered) and sessions of its own, which it carries from accept to close over raw non-blocking sockets.
//
// A session is a state machine:
//
//	          accept ── a PROXY header is due ──▶ greeting
//	             │                                  │   │
//	             │         header taken             │   │
//	             ▼ ◀────────────────────────────────┘   │
//	           enter ── the gate refuses ───────────────┤
//	             │  ▲ │                                 │
//	             │  │ │ too many sessions               │
//	             │  │ ▼                                 │
//	             │ recounting ── there still are ───────┤
//	             │                                      │
//	             ▼                                      │
//	┌───────▶ choose ── none left ──────────────────────┤
//	│          │   ▲ │                                  │
//	│          │   │ │ all full                         │
//	│          │   │ ▼                                  │
//	│          │  awaiting ── no place in time ─────────┤ any of them: client reset, ended,
//	│          ▼                                        │ open for too long; greeting: no
//	└───── connecting ──────────────────────────────────┤ header, or not in time
//	  failed   │  to one target, and a rival beside it  │
//	           │  if that takes its time                │
//	           │ connected                              │
//	           ▼                                        ▼
//	        relaying ── reset, time-out, ended ──▶ close, account
//	           │                                        ▲
//	           └──────── both sides have finished ──────┘
//
// A session whose connects fail at once goes on choosing in a later turn after a few of them. A loop does a bounded amount
// of anything in a turn, however many sessions, targets, orders or timers there are.
//
// While it relays, each of its two flows is in one of these conditions, told by its marks:
//
//	waiting to read ── event ──▶ readable ── read ──▶ pending ── written ──▶ readable or waiting to read
//	                                │                    │  ▲
//	                                │ FIN                └──┘ full: waiting for room, and reading nothing
//	                                ▼
//	                            finished ── all written ──▶ passed on
//
// A flow that is bounded reads only what its pace permits, and waits for the wheel if that is nothing.
//
// Reading begins with recv(2) and send(2) through a buffer that all sessions of a loop share, and goes over to
// splice(2) through a pipe when buffers are full. A flow that is waiting holds neither. A flow that is pending holds
// at most bufferSize bytes in memory, or pipeSize bytes in a pipe or, once they were stuck there, in memory: that,
// twice, bounds a session beside its sockets' own buffers. A turn moves turnBudget bytes of a flow before the others
// have theirs.
//
// The path of a connection: accept.go, greet.go, connect.go with hasten.go, relay.go with splice.go and pace.go, end.go.
// What it is made of: session.go and slab.go. Time: wheel.go, patience.go and late.go. What others ask of it: orders.go
// and recount.go.
package loop

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
)

// loop is one goroutine that owns its sessions from accept to close. What has no comment of its own is that
// goroutine's alone.
type loop struct {
	engine *Engine
	shard  int // which of the engine's loops it is
	epoll  *linux.Epoll
	inbox  inbox
	ended  chan struct{} // closed when run returns

	slab  slab
	wheel wheel
	queue []int32      // sessions with something to do now
	turns []int32      // the queue of the turn before: the two change places
	open  atomic.Int64 // sessions it has or is being handed; read by the other loops

	doors   []*door // the ports, by their number in an event
	resting int     // doors that rest after an error
	wake    int64   // when the first of those is to open again

	pipes    pipes
	unloaded int      // bytes of memory that pipes were unloaded to
	spare    [][]byte // buffers for what could not be written
	buffer   []byte   // what is read goes through here; holds nothing between two calls
	peer     unix.RawSockaddrAny
	target   unix.RawSockaddrAny
	record   account

	turn     uint64 // counts turns
	askedIn  uint64 // the turn in which a recount has asked it
	tell     func() // its answer; nil: it is not asked
	now      int64  // the engine's clock at the begin of the turn
	woke     int64  // when it last went on after it had stood still; 0: it never had
	stood    int64  // for how long, before that
	attempts int    // how many more connects may fail at once in this turn
	yielded  int64  // when the loop last let the scheduler run
	stopping bool
}

// What an event is about: a session's number and side in the lower half and its generation in the upper one; or, with
// this in place of the generation, the number of a door, or the bell.
const (
	special  = uint64(1<<32-1) << 32
	bell     = special | (1<<32 - 1)
	sideBits = 2
)

func newLoop(e *Engine, shard int) (*loop, error) {
	l := &loop{engine: e, shard: shard, ended: make(chan struct{}), buffer: make([]byte, bufferSize)}
	var err error
	if l.epoll, err = linux.NewEpoll(); err != nil {
		return nil, err
	}
	if err = l.inbox.open(l.epoll); err != nil {
		l.epoll.Close()
		return nil, err
	}
	l.pipes.budget, l.pipes.events = &e.pipes, &e.events
	l.now = e.clock()
	l.wheel.init(&l.slab, l.now)
	return l, nil
}

// run is the loop's goroutine. A turn waits for events, notes them, and then lets every session that has something to
// do move a bounded amount.
func (l *loop) run() {
	defer close(l.ended)
	for !l.stopping {
		l.turn++
		patience := l.patience()
		events, err := l.epoll.Wait(patience)
		if err != nil {
			panic(fmt.Sprintf("engine loop: %v", err)) // epoll_wait(2): only for a mistake in the call
		}
		l.wakeUp(patience)
		doors, rung := 0, false
		for i := range events {
			switch data := linux.EventData(&events[i]); {
			case data < special:
				l.note(data, events[i].Events)
			case data == bell:
				rung = true
			default:
				doors++
				events[doors-1] = events[i] // kept for below: sessions that are there go before those that come
			}
		}
		l.attempts = attemptsPerTurn
		if rung || l.inbox.left() {
			l.obey()
		}
		l.work()
		l.settle(len(events))
		batch := acceptBatch(len(events))
		for i := range events[:min(doors, acceptsPerTurn/batch)] {
			l.accept(l.doors[uint32(linux.EventData(&events[i]))], batch)
		}
		l.expire()
		l.tidyPipes()
		l.reopen()
		l.yield()
	}
	l.pipes.trim(0)
}

// slice is about how long one kind of work may hold up the rest of a turn, if there is much of it: orders, timers, a look
// at all sessions. What is left comes with the next turn.
const slice = int64(time.Millisecond)

// obey does what was ordered, in order, for a slice.
func (l *loop) obey() {
	l.inbox.fetch()
	for end := l.engine.clock() + slice; l.inbox.left(); {
		l.inbox.do()
		l.inbox.fetch() // the bell has rung for what was posted meanwhile, and does not ring again before that
		if l.engine.clock() >= end {
			return
		}
	}
}

// expire lets the sessions have their say whose moment has come, for a slice.
func (l *loop) expire() {
	end := int64(0)
	l.wheel.advance(l.now, func(s *session) (more bool) {
		if end == 0 {
			end = l.engine.clock() + slice
		}
		l.due(s)
		return l.engine.clock() < end
	})
}

// yieldInterval is less than the 10 ms after which the runtime holds a goroutine to be one that does not yield.
const yieldInterval = int64(5 * time.Millisecond)

// yield lets the scheduler run now and then. Else the runtime's monitor, which does not see that the loop waits in
// between, would interrupt it with signals, take its processor at every system call, and itself never sleep.
func (l *loop) yield() {
	if l.now-l.yielded >= yieldInterval {
		l.yielded = l.now
		runtime.Gosched()
	}
}

// patience is how long the loop may wait for events, in milliseconds.
func (l *loop) patience() int {
	if len(l.queue) > 0 || l.inbox.left() || l.tell != nil || l.stopping {
		return 0
	}
	next := l.wheel.next()
	for _, at := range []int64{l.wakeDoors(), l.pipes.next()} {
		if at >= 0 && (next < 0 || at < next) {
			next = at
		}
	}
	if next < 0 {
		return -1
	}
	return int(max(0, (next-l.engine.clock()+int64(time.Millisecond)-1)/int64(time.Millisecond)))
}

// note marks what an event says on the session, if that is still the one it is about, and queues it.
func (l *loop) note(data uint64, events uint32) {
	s := l.slab.find(int32(uint32(data)>>sideBits), uint32(data>>32))
	if s == nil {
		return
	}
	side := data & (1<<sideBits - 1)
	x := &s.side[side]
	if events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		x.mark |= readable
	}
	if events&unix.EPOLLOUT != 0 {
		x.mark &^= full
	}
	if events&unix.EPOLLRDHUP != 0 {
		x.mark |= hangup
	}
	if events&unix.EPOLLPRI != 0 {
		x.mark |= chatty
	}
	if events&unix.EPOLLERR != 0 {
		x.mark |= broken
	}
	if s.state == connecting && side != client {
		x.mark |= answered
	}
	l.push(s)
}

// watch registers the session's side with epoll, which is asked for edges: what is found by trying is not told again.
func (l *loop) watch(s *session, side int) error {
	x := &s.side[side]
	events := uint32(unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLPRI | unix.EPOLLET)
	if side != client && (!x.mark.has(answered) || x.mark.has(full)) {
		events |= unix.EPOLLOUT
		x.mark |= watchesOut
	}
	return l.epoll.Add(int(x.fd), events, eventData(s, side))
}

// awaitRoom says that the side takes no more. What stood when it was registered is watched for room from the first time
// on: registered for it from the begin, it would have an event for nothing.
func (l *loop) awaitRoom(s *session, side int) error {
	x := &s.side[side]
	x.mark |= full
	if x.mark.has(watchesOut) {
		return nil
	}
	x.mark |= watchesOut
	return l.watchAgain(s, side)
}

// watchAgain watches the side for everything, with all that is true now as an event.
func (l *loop) watchAgain(s *session, side int) error {
	events := uint32(unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLPRI | unix.EPOLLET)
	return l.epoll.Modify(int(s.side[side].fd), events, eventData(s, side))
}

func eventData(s *session, side int) uint64 {
	return uint64(s.generation)<<32 | uint64(s.id)<<sideBits | uint64(side)
}

// push queues the session for this turn, or for the next if this is its own.
func (l *loop) push(s *session) {
	if !s.queued {
		s.queued = true
		l.queue = append(l.queue, s.id)
	}
}

// work gives each queued session its turn.
func (l *loop) work() {
	l.queue, l.turns = l.turns[:0], l.queue
	for _, id := range l.turns {
		s := l.slab.at(id)
		if !s.queued { // it is over; or over, and another has its place
			continue
		}
		s.queued = false
		l.step(s)
	}
}

// step does what the session can do now.
func (l *loop) step(s *session) {
	switch s.state {
	case greeting:
		l.stepGreet(s)
	case choosing:
		l.stepChoose(s)
	case recounting, awaiting, connecting:
		l.stepConnect(s)
	case relaying:
		l.stepRelay(s)
	}
}

// free gives back what newLoop made. The loop does not run, or no more.
func (l *loop) free() error { return errors.Join(l.inbox.close(), l.epoll.Close()) }
