package upstream

// Attempts is the targets that one session has tried, and its place among those who wait. The zero value is none. It is
// the session's: not safe for concurrent use, and, while the session waits, not to be touched.
type Attempts struct {
	targets []*Target
	ticket  uint64 // says who has waited longer; 0: has not waited yet

	held  *Target // that waiting has reserved a place on; nil if none
	trial bool

	// Of a session that has tried many:
	known  map[*state]bool // those that were tried
	course int             // how far it has come; see rotation.pick
}

// aimless is how many targets a session tries by the balancer's choice. From then on it goes through those that are
// left one after another, so that a session that tries thousands does not search among thousands each time.
const aimless = 8

func (t *Attempts) aimless() bool { return len(t.targets) >= aimless }

// Len is how many targets were tried.
func (t *Attempts) Len() int { return len(t.targets) }

// Last is the target that was tried last, or nil.
func (t *Attempts) Last() *Target {
	if len(t.targets) == 0 {
		return nil
	}
	return t.targets[len(t.targets)-1]
}

// Reset makes t the zero value, and keeps its memory.
func (t *Attempts) Reset() {
	clear(t.targets)
	*t = Attempts{targets: t.targets[:0]}
}

func (t *Attempts) has(target *Target) bool {
	if t.known != nil {
		return t.known[target.state]
	}
	for _, have := range t.targets {
		if have.state == target.state {
			return true
		}
	}
	return false
}

// take notes that the session tries the target.
func (t *Attempts) take(target *Target) {
	t.targets = append(t.targets, target)
	switch {
	case t.known != nil:
		t.known[target.state] = true
	case t.aimless():
		t.known = map[*state]bool{}
		for _, x := range t.targets {
			t.known[x.state] = true
		}
	}
}
