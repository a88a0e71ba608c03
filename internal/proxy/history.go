package proxy

import (
	"sync"
	"time"

	"tcp-proxy/internal/sanitize"
)

// maxEvents is how many events a server keeps, of all kinds.
const maxEvents = 256

// maxText is the length limit of each text of an event, in bytes.
const maxText = 1 << 10

// history is the last events. When it is full, it removes the oldest of the most frequent ones: of the most frequent
// kind, in it of the most frequent app, and in that of the most frequent target or port. So an event that repeats
// only displaces its own kind: of n kinds, maxEvents/n events of each stay. The zero value is empty. It is safe for
// concurrent use.
type history struct {
	mu      sync.Mutex // guards the fields below
	events  []entry
	last    uint64 // number of the newest event; 0: none
	tallies map[group]*tally
}

// entry is an event and the tallies of the groups that it belongs to, from the widest group to the narrowest.
type entry struct {
	Event
	groups [3]*tally
}

// group is what events have in common: the kind; also the app; everything but the time.
type group struct {
	level                           int // index in entry.groups
	kind, app, target, port, reason string
}

type tally struct {
	group group
	n     int
	last  time.Time // time of the newest event
}

// note adds an event and sets its time and number. Refusals of the same app for the same reason are one event per
// repeatInterval.
func (h *history) note(e Event) {
	for _, text := range []*string{&e.App, &e.Target, &e.Port, &e.Text, &e.Reason} {
		*text = sanitize.Text(*text, maxText)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	e.Time = time.Now()
	groups := groupsOf(&e)
	if last := h.tallies[groups[2]]; e.Kind == EventRefusals && last != nil && e.Time.Sub(last.last) < repeatInterval {
		return
	}
	h.last++
	e.Number = h.last
	added := entry{Event: e}
	for i, s := range groups {
		added.groups[i] = h.count(s, e.Time)
	}
	h.events = append(h.events, added)
	if len(h.events) > maxEvents {
		h.remove(h.mostFrequent())
	}
}

// groupsOf returns the groups of an event. Refusals are told apart by their reason, other events by their object.
func groupsOf(e *Event) [3]group {
	about := group{level: 2, kind: e.Kind, app: e.App, target: e.Target, port: e.Port}
	if e.Kind == EventRefusals {
		about = group{level: 2, kind: e.Kind, app: e.App, reason: e.Reason}
	}
	return [3]group{{level: 0, kind: e.Kind}, {level: 1, kind: e.Kind, app: e.App}, about}
}

// count counts one more event of a group. remove undoes that.
func (h *history) count(s group, now time.Time) *tally {
	if h.tallies == nil {
		h.tallies = map[group]*tally{}
	}
	t := h.tallies[s]
	if t == nil {
		t = &tally{group: s}
		h.tallies[s] = t
	}
	t.n++
	t.last = now
	return t
}

// mostFrequent returns the index of the event to remove.
func (h *history) mostFrequent() int {
	found := 0
	for i := range h.events {
		if h.events[i].moreFrequent(&h.events[found]) {
			found = i
		}
	}
	return found
}

// moreFrequent reports whether there are more events like this one than like the other.
func (x *entry) moreFrequent(than *entry) bool {
	for i, t := range x.groups {
		if other := than.groups[i].n; t.n != other {
			return t.n > other
		}
	}
	return false
}

// remove removes the event at an index.
func (h *history) remove(index int) {
	for _, t := range h.events[index].groups {
		if t.n--; t.n == 0 {
			delete(h.tallies, t.group)
		}
	}
	h.events = append(h.events[:index], h.events[index+1:]...)
}

// read returns the events, oldest first.
func (h *history) read() []Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	events := make([]Event, len(h.events))
	for i := range h.events {
		events[i] = h.events[i].Event
	}
	return events
}
