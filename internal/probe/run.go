package probe

import (
	"time"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/reactor"
)

// task is what has a number in the table of tasks, which its timer and the events of its socket have too.
type task interface {
	ready(*Prober) // there was an event
	due(*Prober)   // its moment has come
}

// run is the prober's goroutine.
func (p *Prober) run() {
	defer close(p.ended)
	for !p.stopping {
		events := p.reactor.Wait(p.timeout())
		p.now = p.reactor.Now()
		p.extendDeadlines()
		for i := range events {
			if data := linux.EventData(&events[i]); data == reactor.Wake {
				continue
			} else if t := p.tasks.Find(data); t != nil {
				(*t).ready(p)
			}
		}
		p.reactor.RunCommands()
		p.proceed()
	}
	p.closeAll()
	for app := range p.groups {
		p.forget(app)
	}
}

// proceed does what the time asks for.
func (p *Prober) proceed() {
	p.reactor.RunTimers(func(n int32) { (*p.tasks.At(n)).due(p) })
	p.startQueued()
}

// timeout is how long the goroutine may wait for events, in milliseconds; -1 is for ever.
func (p *Prober) timeout() int {
	switch {
	case p.queue.any() && !p.inFlight.full():
		return 0
	case p.inFlight.used > 0:
		return p.reactor.Timeout(p.now + int64(stride))
	}
	return p.reactor.Timeout(reactor.Never)
}

const (
	// stride is the longest wait while a check is in flight, so that it shows when the prober stood still.
	stride = 100 * time.Millisecond
	// tolerance is how late the prober may be without that being a standstill.
	tolerance = 50 * time.Millisecond
)

// extendDeadlines moves all deadlines by the time for which the prober did not look: answers may be late for no fault of
// those who give them.
func (p *Prober) extendDeadlines() {
	late := p.reactor.Late()
	if late < int64(tolerance) {
		return
	}
	for _, g := range p.groups {
		for _, c := range g.checks {
			if c.fd != noSocket {
				p.arm(c, c.at+late)
			}
		}
	}
	for _, x := range p.closings {
		p.armClosing(x, x.deadline+late)
	}
}

// number gives a task its number.
func (p *Prober) number(t task) int32 {
	n, slot := p.tasks.Acquire()
	*slot = t
	return n
}

// forgetNumber takes the number of a task back, and its timer.
func (p *Prober) forgetNumber(n int32) {
	p.reactor.Disarm(n)
	*p.tasks.At(n) = nil
	p.tasks.Release(n)
}
