package probe

import (
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/upstream"
)

// check is the checking of one target, again and again.
type check struct {
	group  *group
	target *upstream.Target
	number int32 // of its timer and its events
	phase  phase
	at     int64 // when the next check is due, or the deadline of the one in flight

	// Of the check in flight:
	fd    int
	next  int64 // when the one after it is due, at the earliest
	sent  int
	read  int
	begin [64]byte // of the answer: as much of it as has been read

	closings int // how many of its connections are being closed
}

const noSocket = -1

// phase is where a check stands; see the package comment.
type phase uint8

const (
	parked phase = iota
	resting
	queued
	connecting
	sending
	reading
	dropped // nobody wants it any more
)

// wanted reports whether the target is to be checked as things stand. One that is barred is not: no answer would bring it
// back, and its answer would be the proxy's own.
func (c *check) wanted() bool {
	if c.target.Barred() {
		return false
	}
	return c.group.config.When == config.ProbeAlways || c.target.Dead()
}

// rest makes the check due at a moment.
func (p *Prober) rest(c *check, at int64) {
	c.phase = resting
	p.arm(c, at)
}

func (p *Prober) arm(c *check, at int64) {
	c.at = at
	p.reactor.Arm(c.number, at)
}

// enqueue lets the check wait for an in-flight slot.
func (p *Prober) enqueue(c *check) {
	c.phase = queued
	p.queue.push(c)
}

// due is called when the moment of a check has come.
func (c *check) due(p *Prober) {
	switch {
	case c.phase != resting:
		p.overdue(c)
	case c.wanted():
		p.enqueue(c)
	default:
		c.phase = parked
	}
}

// overdue is called at the deadline of a check. What its socket has by now counts: there may be an event of it that was
// not handled yet.
func (p *Prober) overdue(c *check) {
	if linux.Pending(c.fd, unix.POLLIN|unix.POLLOUT) {
		c.ready(p)
	}
	switch {
	case c.fd == noSocket: // it has its verdict
	case c.phase == connecting:
		p.verdict(c, c.group.unconnected)
	default:
		p.verdict(c, c.group.unanswered)
	}
}

// startsPerTurn is how many checks are started in a turn at most: each of them may be a connect that fails at once, and a
// verdict that is reported. The rest comes with the next turn, which does not wait.
const startsPerTurn = 64

// startQueued starts the checks that wait, as far as there are slots, and no more than a few: one that fails at once gives
// its slot back.
func (p *Prober) startQueued() {
	for range startsPerTurn {
		if p.inFlight.full() || !p.queue.any() {
			return
		}
		c := p.queue.pop()
		switch {
		case c.phase != queued:
		case !c.wanted():
			c.phase = parked
		default:
			p.connect(c)
		}
	}
}

// verdict ends a check with a reset: the target has passed if err is nil.
func (p *Prober) verdict(c *check, err error) {
	p.reset(c)
	p.judge(c, err)
	p.rest(c, c.next)
}

// conclude ends a check in good order: the target has done what it was asked for, passed if err is nil.
func (p *Prober) conclude(c *check, err error) {
	p.startClosing(c)
	p.judge(c, err)
	p.rest(c, c.next)
}

// judge tells the target what its check has found, and reports what that changes.
func (p *Prober) judge(c *check, err error) {
	if !c.wanted() {
		return // a session has brought it back in the meantime
	}
	if err != nil {
		err = fmt.Errorf("probe: %w", err)
	}
	if change := c.target.Probed(err); change != upstream.Unchanged {
		p.report(c.group.app, c.target, change, err)
	}
}

// failed ends a check with what a system call says. If that tells of this machine alone it is no verdict, and the check
// is made again soon.
func (p *Prober) failed(c *check, err error) {
	if linux.Exhausted(err) {
		p.reset(c)
		p.rest(c, p.now+int64(min(c.group.config.Interval, pause)))
		return
	}
	p.verdict(c, err)
}

// pause is how long a check waits at most that could not be made for lack of something here.
const pause = time.Second

// reset gives back the slot of a check in flight, and its socket with a reset.
func (p *Prober) reset(c *check) {
	p.reactor.Disarm(c.number)
	if c.fd != noSocket {
		linux.Abort(c.fd)
		p.release(c)
	}
}

// drop ends a check for good, without a verdict.
func (p *Prober) drop(c *check) {
	p.reset(c)
	c.phase = dropped
	p.unlist(c)
	p.forgetNumber(c.number)
}

// jittered is an interval, give or take a tenth.
func jittered(interval time.Duration) int64 {
	return int64(interval)*9/10 + rand.Int64N(int64(interval)/5+1)
}
