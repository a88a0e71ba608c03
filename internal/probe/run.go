package probe

import (
	"fmt"
	"time"

	"tcp-proxy/internal/linux"
)

// run is the prober's goroutine.
func (p *Prober) run() {
	defer close(p.ended)
	for {
		patience := p.patience()
		events, err := p.epoll.Wait(patience)
		if err != nil {
			panic(fmt.Sprintf("probe: %v", err)) // epoll_wait(2): only for a mistake in the call
		}
		p.advance(patience)
		rung := false
		for i := range events {
			if event := linux.EventData(&events[i]); event == bellEvent {
				rung = true
			} else if event&farewellEvent != 0 {
				if f := p.farewells.of(event); f != nil {
					p.attend(f)
				}
			} else if c := p.flights.of(event); c != nil {
				p.step(c)
			}
		}
		if (rung || p.behind) && !p.obey() {
			break
		}
		p.proceed()
	}
	p.partAtOnce()
	for app := range p.watches {
		p.forget(app)
	}
}

// What one turn does at most of each kind. The rest comes with the turns after it, which do not wait.
const (
	ordersPerTurn = 256
	duesPerTurn   = 256
	beginsPerTurn = 64 // each of them may be a connect that fails at once, and a verdict that is reported
)

// obey does what was ordered, in order. It reports whether there is to be more.
func (p *Prober) obey() (more bool) {
	p.mu.Lock()
	n := min(len(p.orders), ordersPerTurn)
	orders, closed := p.orders[:n:n], p.closed
	p.orders = p.orders[n:]
	p.behind = len(p.orders) > 0
	if !p.behind {
		p.orders = nil
	}
	p.mu.Unlock()
	for i, f := range orders {
		f()
		orders[i] = nil
	}
	return !closed
}

// proceed does what the time asks for.
func (p *Prober) proceed() {
	for range duesPerTurn {
		c := p.schedule.due(p.now)
		if c == nil {
			break
		}
		p.due(c)
	}
	p.partOverdue()
	p.beginQueued()
}

// busy reports whether a turn has left something that can be done at once.
func (p *Prober) busy() bool { return p.behind || p.queue.any() && !p.flights.full() }

// patience is how long the goroutine may wait for events, in milliseconds.
func (p *Prober) patience() int {
	if p.busy() {
		return 0
	}
	next := p.schedule.next()
	if farewell := p.farewells.next(); next < 0 || farewell >= 0 && farewell < next {
		next = farewell
	}
	if next < 0 {
		return -1
	}
	left := next - int64(time.Since(p.start))
	if p.flights.any() {
		left = min(left, int64(stride))
	}
	return int(max(0, (left+int64(time.Millisecond)-1)/int64(time.Millisecond)))
}

const (
	// stride is the longest wait while a check is under way, so that it shows when the prober stood still.
	stride = 100 * time.Millisecond
	// tolerance is how late the prober may be without that being a standstill.
	tolerance = 50 * time.Millisecond
)

// advance sets the time after a wait that was to last for so many milliseconds at most. For as long as the prober did
// not look it gives those it watches more time: their answers may be late for no fault of theirs.
func (p *Prober) advance(patience int) {
	before := p.now
	p.now = int64(time.Since(p.start))
	stood := p.now - before - int64(patience)*int64(time.Millisecond)
	if stood < int64(tolerance) {
		return
	}
	for i := range p.flights.seats {
		if c := p.flights.seats[i].check; c != nil {
			p.schedule.set(c, c.at+stood)
		}
	}
	p.farewells.postpone(stood)
}
