package proxy

import (
	"sync"
	"time"

	"tcp-proxy/internal/sanitize"
)

// remembered is how many events a server keeps, of all kinds.
const remembered = 256

// mostText is how long a text of an event may be, in bytes.
const mostText = 1 << 10

// history is the last events. When there are too many it forgets the oldest one of those that there are most of: of the
// kind, in it of the app, and in that of the target or port. So whatever happens again and again pushes out itself: of n
// kinds that happen, remembered/n events of each stay. The zero value is empty; it is safe for concurrent use.
type history struct {
	mu     sync.Mutex // guards what follows
	events []happening
	last   uint64 // number of the newest; 0: none
	shares map[share]*tally
}

// happening is an event that is remembered, and how many there are like it, from what it has in common with the most
// others to what with the fewest.
type happening struct {
	Event
	like [3]*tally
}

// share is what events have in common: the kind; the app too; all but when it was.
type share struct {
	level                           int // place in happening.like
	kind, app, target, port, reason string
}

type tally struct {
	share share
	n     int
	last  time.Time // when the newest was
}

// note adds an event, whose time and number are set. Refusals of an app for the same reason are one event in the time of
// again.
func (h *history) note(e Event) {
	for _, text := range []*string{&e.App, &e.Target, &e.Port, &e.Text, &e.Reason} {
		*text = sanitize.Text(*text, mostText)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	e.Time = time.Now()
	like := sharesOf(&e)
	if last := h.shares[like[2]]; e.Kind == EventRefusals && last != nil && e.Time.Sub(last.last) < again {
		return
	}
	h.last++
	e.Number = h.last
	added := happening{Event: e}
	for i, s := range like {
		added.like[i] = h.count(s, e.Time)
	}
	h.events = append(h.events, added)
	if len(h.events) > remembered {
		h.forget(h.most())
	}
}

// sharesOf gives what an event may have in common with others. Of refusals the reason tells them apart; of others it is
// what they are about.
func sharesOf(e *Event) [3]share {
	about := share{level: 2, kind: e.Kind, app: e.App, target: e.Target, port: e.Port}
	if e.Kind == EventRefusals {
		about = share{level: 2, kind: e.Kind, app: e.App, reason: e.Reason}
	}
	return [3]share{{level: 0, kind: e.Kind}, {level: 1, kind: e.Kind, app: e.App}, about}
}

// count counts one more event of a share. Whoever holds the tally takes it off again.
func (h *history) count(s share, now time.Time) *tally {
	if h.shares == nil {
		h.shares = map[share]*tally{}
	}
	t := h.shares[s]
	if t == nil {
		t = &tally{share: s}
		h.shares[s] = t
	}
	t.n++
	t.last = now
	return t
}

// most gives the place of the event that is to be forgotten.
func (h *history) most() int {
	found := 0
	for i := range h.events {
		if h.events[i].more(&h.events[found]) {
			found = i
		}
	}
	return found
}

// more reports whether there are more events like this one than like another.
func (x *happening) more(than *happening) bool {
	for i, t := range x.like {
		if other := than.like[i].n; t.n != other {
			return t.n > other
		}
	}
	return false
}

// forget takes away the event at a place.
func (h *history) forget(place int) {
	for _, t := range h.events[place].like {
		if t.n--; t.n == 0 {
			delete(h.shares, t.share)
		}
	}
	h.events = append(h.events[:place], h.events[place+1:]...)
}

// read gives what is remembered, oldest first.
func (h *history) read() []Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	events := make([]Event, len(h.events))
	for i := range h.events {
		events[i] = h.events[i].Event
	}
	return events
}
