// Package reactor is what an event loop is made of: it waits for events of descriptors, for commands of other goroutines
// and for timers, and knows how late it was. The goroutine that owns a Reactor takes turns:
//
//	for !stopping {
//		events := r.Wait(r.Timeout(reactor.Never))
//		… handle events …
//		r.RunCommands()
//		r.RunTimers(…)
//	}
//
// Only Post may be called by other goroutines. What a turn does of commands and of timers is bounded by a slice of time;
// the rest comes with the next turn, which does not wait.
package reactor

import (
	"errors"
	"fmt"
	"math"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
)

// Slice is how long one kind of work may hold up the rest of a turn, if there is much of it: commands, timers, a walk
// through a Table. In nanoseconds.
const Slice = int64(time.Millisecond)

// Never is a moment that does not come.
const Never = int64(math.MaxInt64)

// Reactor is an epoll instance with a mailbox and timers. Moments are nanoseconds of its clock.
type Reactor struct {
	*linux.Epoll
	mailbox mailbox
	wheel   wheel
	clock   func() int64
	now     int64
	late    int64
}

// New makes a reactor, which Close gives back. It holds two descriptors.
func New(clock func() int64) (*Reactor, error) {
	r := &Reactor{clock: clock, now: clock()}
	r.wheel.init(r.now)
	var err error
	if r.Epoll, err = linux.NewEpoll(); err != nil {
		return nil, err
	}
	if r.mailbox.waker, err = linux.NewWaker(); err != nil {
		return nil, errors.Join(err, r.Epoll.Close())
	}
	if err = r.Add(r.mailbox.waker.FD(), unix.EPOLLIN|unix.EPOLLET, Wake); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Close gives the reactor back. Its owner takes no more turns; others may still call Post, which refuses from now on.
func (r *Reactor) Close() error { return errors.Join(r.mailbox.close(), r.Epoll.Close()) }

// Timeout is how long the next turn may wait for events, in milliseconds: until a moment, or until a timer is due. It is
// 0 if commands or timers are left, and -1 if there is nothing to wait for but events.
func (r *Reactor) Timeout(until int64) int {
	if r.mailbox.any() {
		return 0
	}
	next := min(until, r.wheel.next())
	if next == Never {
		return -1
	}
	const ms = int64(time.Millisecond)
	left := max(0, next-r.clock())
	if left > ms*math.MaxInt32 {
		return math.MaxInt32 // of the call, which takes an int
	}
	return int((left + ms - 1) / ms)
}

// Wait begins a turn: it waits for events for at most timeout milliseconds; -1 has no limit. The events are valid until
// the next Wait. One of them may be Wake, which has no other meaning than that the turn has begun.
func (r *Reactor) Wait(timeout int) []unix.EpollEvent {
	events, err := r.Epoll.Wait(timeout)
	if err != nil {
		panic(fmt.Sprintf("reactor: %v", err)) // epoll_wait(2): only for a mistake in the call
	}
	r.Turn(timeout)
	return events
}

// Turn is Wait without waiting: it takes the time of a turn that was to begin after at most timeout milliseconds. Time
// goes on before anything is armed in the turn, so that no timer is placed as seen from long ago.
func (r *Reactor) Turn(timeout int) {
	before := r.now
	r.now = r.clock()
	r.late = 0
	if timeout >= 0 {
		r.late = r.now - before - int64(timeout)*int64(time.Millisecond)
	}
	r.wheel.advance(r.now)
}

// Now is the moment at which the turn began.
func (r *Reactor) Now() int64 { return r.now }

// Late is how much later than it should have the turn began, in nanoseconds, with all that the turn before has taken. It
// is 0 if the turn could wait without limit. Who finds it large has not run: the process was stopped, or the machine slept.
func (r *Reactor) Late() int64 { return r.late }

// Post asks the owner to call f in one of its turns, after what was posted before. It does not block. It reports false
// after Close, and then nobody calls f. What was posted and not called by Close is forgotten.
func (r *Reactor) Post(f func()) bool { return r.mailbox.post(f) }

// RunCommands calls what was posted, in order, for a slice.
func (r *Reactor) RunCommands() {
	if !r.mailbox.fetch() {
		return
	}
	for end := r.clock() + Slice; ; {
		r.mailbox.next()()
		if r.clock() >= end || !r.mailbox.fetch() {
			return
		}
	}
}

// Arm sets the timer of a number, which is small, in place of the one that it may have.
func (r *Reactor) Arm(n int32, at int64) { r.wheel.arm(n, at) }

// Disarm takes the timer of a number away, if it has one.
func (r *Reactor) Disarm(n int32) { r.wheel.disarm(n) }

// RunTimers calls due with the numbers whose moment had come when the turn began, for a slice. They are disarmed then. A
// timer is never early, and in a loop that is not late at most 10 ms late.
func (r *Reactor) RunTimers(due func(n int32)) {
	n, ok := r.wheel.take()
	if !ok {
		return
	}
	for end := r.clock() + Slice; ok; n, ok = r.wheel.take() {
		due(n)
		if r.clock() >= end {
			return
		}
	}
}
