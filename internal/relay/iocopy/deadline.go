package iocopy

import (
	"time"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/relay/session"
)

// How often in a row, and for how long each time, a time-out is not believed because the kernel shows something that a
// goroutine has not come to yet.
const (
	mostDoubts = 10
	doubtFor   = 100 * time.Millisecond
)

// rearm sets the timer to the earliest moment at which something may be due. The caller holds mu.
func (r *runner) rearm() {
	at := int64(session.Never)
	if !r.settled {
		at = r.session.Deadline(&r.standstill)
	}
	if at == session.Never {
		if r.timer != nil {
			r.timer.Stop()
		}
		r.at = at
		return
	}
	r.arm(at)
}

// arm sets the timer. The caller holds mu.
func (r *runner) arm(at int64) {
	if at == r.at && r.timer != nil {
		return
	}
	r.at = at
	left := time.Duration(max(0, at-r.now()))
	if r.timer == nil {
		r.timer = time.AfterFunc(left, r.fire)
		return
	}
	r.timer.Reset(left)
}

// fire does what is due.
func (r *runner) fire() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.settled {
		return
	}
	now := r.now()
	r.standstill.Late(now-r.at, now)
	r.at = 0 // it has fired
	due := r.due(now)
	switch {
	case due == session.DueNothing:
		r.doubts = 0
	case r.doubt(due):
		r.arm(now + int64(doubtFor))
		return
	case due == session.DueRace:
		r.race(now)
	case due == session.DueConnect:
		r.dials[0].cancel(r.session.NoAnswer()) // its answer is on its way
		r.arm(now + int64(doubtFor))
		return
	default:
		r.do(r.session.OnDue(due))
	}
	r.rearm()
}

// due is what is due by what the kernel knows. The caller holds mu.
func (r *runner) due(now int64) session.Due {
	due := r.session.Due(now, &r.standstill)
	if due != session.DueQuiet {
		return due
	}
	r.state.Moved(max(r.state.LastMoved(), now-int64(r.quiet(now))))
	return r.session.Due(now, &r.standstill)
}

// doubt reports whether a time-out is not to be believed yet: there is something that a goroutine is about to take in. The
// caller holds mu.
func (r *runner) doubt(due session.Due) bool {
	pending := false
	switch due {
	case session.DueHeader:
		pending = r.client.ready(linux.Readable)
	case session.DueConnect, session.DueRace:
		pending = r.dials[0].answered()
	case session.DueQuiet:
		pending = r.movable()
	}
	if !pending || r.doubts == mostDoubts {
		return false
	}
	r.doubts++
	return true
}

// answered reports whether something has become of the connect: package net is about to take it in.
func (d *dial) answered() bool {
	c := d.socket.Load()
	if c == nil {
		return false
	}
	is := false
	err := (*c).Control(func(fd uintptr) { is = linux.Answered(int(fd)) })
	return err == nil && is
}

// movable reports whether there is something to read from one side that the other would take, or the end of it. The
// caller holds mu.
func (r *runner) movable() bool {
	return r.mayMove(r.client, r.target) || r.mayMove(r.target, r.client)
}

func (r *runner) mayMove(from, to *side) bool {
	return !r.state.Finished(from.index) && from.ready(linux.Readable) && to.ready(linux.Writable)
}

func (x *side) ready(is func(fd int) bool) bool {
	yes := false
	err := x.raw.Control(func(fd uintptr) { yes = is(int(fd)) })
	return err == nil && yes
}
