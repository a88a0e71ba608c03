package resolve

import (
	"time"

	"tcp-proxy/internal/upstream"
)

// notifyInterval is the least time between two deliveries to a set: each delivery makes the set look at all its targets.
const notifyInterval = 100 * time.Millisecond

// subscriber is a set of targets and the changes to deliver to it. The first change is delivered at once, and those of the
// next notifyInterval together after it.
type subscriber struct {
	set      *upstream.Set
	changed  func()         // called after a delivery that contained addresses
	due      map[*name]bool // names with undelivered changes
	notified time.Time      // when the last delivery was
	timer    *time.Timer    // of the next delivery; nil: none is scheduled
}

// markChanged records that n has changed for all its subscribers; notify delivers that.
func (r *Resolver) markChanged(n *name) {
	for s := range n.subscribers {
		if len(s.due) == 0 {
			r.pending = append(r.pending, s)
		}
		s.due[n] = true
	}
}

// notify delivers changes to subscribers, or schedules the delivery if the last one was less than notifyInterval ago.
func (r *Resolver) notify() {
	for _, s := range r.pending {
		if wait := notifyInterval - time.Since(s.notified); wait <= 0 {
			r.deliver(s)
		} else if s.timer == nil {
			s.timer = time.AfterFunc(wait, func() { r.notifyLate(s) })
		}
	}
	r.pending = nil
}

// notifyLate is the function of a subscriber's timer.
func (r *Resolver) notifyLate(s *subscriber) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.subscribers[s.set] == s {
		r.deliver(s)
	}
}

// deliver passes all changes to a subscriber.
func (r *Resolver) deliver(s *subscriber) {
	if s.send() {
		s.changed()
	}
}

// send passes all changes to the set, and reports whether they contain addresses.
func (s *subscriber) send() bool {
	s.stopTimer()
	answers, addresses := make([]upstream.Answer, 0, len(s.due)), false
	for n := range s.due {
		answers = append(answers, upstream.Answer{Name: n.address, Endpoints: n.endpoints})
		addresses = addresses || len(n.endpoints) > 0
	}
	clear(s.due)
	if len(answers) > 0 {
		s.notified = time.Now()
		s.set.Update(answers...)
	}
	return addresses
}

// stopTimer cancels a scheduled delivery.
func (s *subscriber) stopTimer() {
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
}
