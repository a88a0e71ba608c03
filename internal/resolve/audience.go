package resolve

import (
	"time"

	"tcp-proxy/internal/upstream"
)

// tellEvery is how far apart the times are at least at which a set is told of changes: it takes a look at all its targets
// each time.
const tellEvery = 100 * time.Millisecond

// audience is a set that is told of its names: of what is new at once, and soon after of all that comes in between.
type audience struct {
	set     *upstream.Set
	changed func()         // is called when the set was told of addresses
	due     map[*name]bool // that the set has not been told of
	told    time.Time      // the last time
	timer   *time.Timer    // to the next time; nil: none is set
}

// tell has the sets of n told of it, by flush.
func (r *Resolver) tell(n *name) {
	for a := range n.audience {
		if len(a.due) == 0 {
			r.telling = append(r.telling, a)
		}
		a.due[n] = true
	}
}

// flush tells the sets that have something due, unless they have just been told: then they are told in time.
func (r *Resolver) flush() {
	for _, a := range r.telling {
		if wait := tellEvery - time.Since(a.told); wait <= 0 {
			r.flushTo(a)
		} else if a.timer == nil {
			a.timer = time.AfterFunc(wait, func() { r.flushLate(a) })
		}
	}
	r.telling = nil
}

// flushLate is called when a set may be told again.
func (r *Resolver) flushLate(a *audience) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.audiences[a.set] == a {
		r.flushTo(a)
	}
}

// flushTo tells a set what is due.
func (r *Resolver) flushTo(a *audience) {
	if a.tell() {
		a.changed()
	}
}

// tell tells the set what is due, and reports whether there are addresses among it.
func (a *audience) tell() bool {
	a.rest()
	answers, addresses := make([]upstream.Answer, 0, len(a.due)), false
	for n := range a.due {
		answers = append(answers, upstream.Answer{Name: n.address, Endpoints: n.endpoints})
		addresses = addresses || len(n.endpoints) > 0
	}
	clear(a.due)
	if len(answers) > 0 {
		a.told = time.Now()
		a.set.Update(answers...)
	}
	return addresses
}

// rest stops the timer.
func (a *audience) rest() {
	if a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
}
