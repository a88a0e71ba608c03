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
	watch  *watch
	target *upstream.Target
	phase  phase

	at    int64 // when the next check is due, or the patience with this one ends
	place int   // in the schedule

	// Of the check under way:
	fd    int
	seat  int32 // of its flight
	next  int64 // when the one after it is due, at the earliest
	sent  int
	read  int
	begin [64]byte // of the answer: as much of it as has been read

	parting int // of its connections, those that are ended in good order: see farewell
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
	return c.watch.manner.When == config.ProbeAlways || c.target.Dead()
}

// rest has the check made at a moment.
func (p *Prober) rest(c *check, at int64) {
	c.phase = resting
	p.schedule.set(c, at)
}

// due is called when the moment of a check has come.
func (p *Prober) due(c *check) {
	switch c.phase {
	case resting:
		if !c.wanted() {
			c.phase = parked
			return
		}
		c.phase = queued
		p.queue.push(c)
	default:
		p.overdue(c)
	}
}

// overdue is called when the patience with a check has ended. What its socket has by now counts: an event of it may not
// have been looked at yet.
func (p *Prober) overdue(c *check) {
	if linux.Pending(c.fd, unix.POLLIN|unix.POLLOUT) {
		p.step(c)
	}
	switch {
	case c.fd == noSocket: // it has its verdict
	case c.phase == connecting:
		p.verdict(c, c.watch.unconnected)
	default:
		p.verdict(c, c.watch.unanswered)
	}
}

// beginQueued makes the checks that wait, as far as there are places, and no more than a few: one that fails at once gives
// its place back.
func (p *Prober) beginQueued() {
	for range beginsPerTurn {
		if p.flights.full() || !p.queue.any() {
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
	p.part(c)
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
		p.report(c.watch.app, c.target, change, err)
	}
}

// failed ends a check with what a system call says. If that tells of this machine alone it is no verdict, and the check
// is made again soon.
func (p *Prober) failed(c *check, err error) {
	if linux.Exhausted(err) {
		p.reset(c)
		p.rest(c, p.now+int64(min(c.watch.manner.Interval, pause)))
		return
	}
	p.verdict(c, err)
}

// pause is how long a check waits at most that could not be made for lack of something here.
const pause = time.Second

// reset gives back the place of a check under way, and its socket with a reset.
func (p *Prober) reset(c *check) {
	p.schedule.remove(c)
	if c.fd != noSocket {
		linux.Abort(c.fd)
		p.land(c)
	}
}

// drop ends a check for good, without a verdict.
func (p *Prober) drop(c *check) {
	p.reset(c)
	c.phase = dropped
	p.strike(c)
}

// jittered is an interval, give or take a tenth.
func jittered(interval time.Duration) int64 {
	return int64(interval)*9/10 + rand.Int64N(int64(interval)/5+1)
}
