package upstream

import "slices"

// Attempts is the targets that one session has tried, and its position in the queue. The zero value is a session that
// has tried none. It belongs to the session: it is not safe for concurrent use, and must not be touched while the
// session waits.
type Attempts struct {
	targets []*Target
	earlier int    // how many more were tried before Continue, that are not known any more
	ticket  uint64 // position in the queue, the lowest first; 0: has not waited yet

	held         *Target // the target on which the queue has reserved a slot; nil: none
	heldHalfOpen bool    // the session makes the half-open trial of held

	set   map[*state]bool // of targets, once sequential
	phase int             // the step that rotation.pick goes on with, once sequential
}

// maxBalanced is how many targets of one session the balancer chooses. After that, the session goes through the rest
// in order, so that a session that tries thousands of targets does not search among thousands each time.
const maxBalanced = 8

// sequential reports whether the session has tried so many targets that it goes through the rest in order.
func (t *Attempts) sequential() bool { return len(t.targets) >= maxBalanced }

// Len is the number of targets that were tried.
func (t *Attempts) Len() int { return len(t.targets) + t.earlier }

// Last is the target that was tried last, or nil.
func (t *Attempts) Last() *Target {
	if len(t.targets) == 0 {
		return nil
	}
	return t.targets[len(t.targets)-1]
}

// Reset makes t the zero value and keeps its memory.
func (t *Attempts) Reset() {
	clear(t.targets)
	*t = Attempts{targets: t.targets[:0]}
}

func (t *Attempts) has(target *Target) bool {
	if t.set != nil {
		return t.set[target.state]
	}
	for _, have := range t.targets {
		if have.state == target.state {
			return true
		}
	}
	return false
}

// add notes that the session tries a target.
func (t *Attempts) add(target *Target) {
	t.targets = append(t.targets, target)
	switch {
	case t.set != nil:
		t.set[target.state] = true
	case t.sequential():
		t.set = map[*state]bool{}
		for _, x := range t.targets {
			t.set[x.state] = true
		}
	}
}

// Kept is what another engine needs to continue the attempts of a session.
type Kept struct {
	Tried  []*Target // in order
	Count  int       // how many were tried; more than Tried has if some are not known any more
	Ticket uint64    // the position in the queue, the lowest first; 0: the session has not waited
}

// Keep returns what is to be continued, by Set.Continue, without the targets that are given up and may be tried again. The
// session does not wait.
func (t *Attempts) Keep(givenUp ...*Target) Kept {
	k := Kept{Count: t.earlier, Ticket: t.ticket}
	for _, x := range t.targets {
		if !slices.Contains(givenUp, x) {
			k.Tried = append(k.Tried, x)
			k.Count++
		}
	}
	return k
}
