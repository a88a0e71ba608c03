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
		events, err := p.epoll.Wait(p.patience())
		if err != nil {
			panic(fmt.Sprintf("probe: %v", err)) // epoll_wait(2): only for a mistake in the call
		}
		p.now = int64(time.Since(p.start))
		rung := false
		for i := range events {
			if event := linux.EventData(&events[i]); event == bellEvent {
				rung = true
			} else if c := p.flights.of(event); c != nil {
				p.step(c)
			}
		}
		if rung && !p.obey() {
			break
		}
		for c := p.schedule.due(p.now); c != nil; c = p.schedule.due(p.now) {
			p.due(c)
		}
		p.beginQueued()
	}
	for app := range p.watches {
		p.forget(app)
	}
}

// obey does what was ordered, in order. It reports whether there is to be more.
func (p *Prober) obey() (more bool) {
	p.mu.Lock()
	orders, closed := p.orders, p.closed
	p.orders = nil
	p.mu.Unlock()
	for _, f := range orders {
		f()
	}
	return !closed
}

// patience is how long the goroutine may wait for events, in milliseconds.
func (p *Prober) patience() int {
	next := p.schedule.next()
	if next < 0 {
		return -1
	}
	left := next - int64(time.Since(p.start))
	return int(max(0, (left+int64(time.Millisecond)-1)/int64(time.Millisecond)))
}
