package proxy

import (
	"sync"
	"time"
)

// remembered is how many events a server keeps.
const remembered = 256

// history is the last events. The zero value is empty; it is safe for concurrent use.
type history struct {
	mu   sync.Mutex // guards what follows
	ring [remembered]Event
	last uint64 // number of the newest; 0: none
}

// note adds an event, whose time and number are set.
func (h *history) note(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last++
	e.Number, e.Time = h.last, time.Now()
	h.ring[h.last%remembered] = e
}

// events gives what is remembered, oldest first.
func (h *history) events() []Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	first := uint64(1)
	if h.last > remembered {
		first = h.last - remembered + 1
	}
	events := make([]Event, 0, h.last+1-first)
	for n := first; n <= h.last; n++ {
		events = append(events, h.ring[n%remembered])
	}
	return events
}
