package upstream

// reserve takes a slot for a session. live is set if the session picked the target as a live one. If the target is
// due for its half-open trial, the session makes it. reserve fails if the target cannot take the session (any more),
// or is being offered to waiting sessions.
func (t *Target) reserve(live bool) (halfOpen, ok bool) {
	if t.offered.Load() {
		return false, false
	}
	return t.tryReserve(live)
}

// tryReserve is reserve for waiting sessions.
func (t *Target) tryReserve(live bool) (halfOpen, ok bool) {
	if t.drained.Load() || t.Barred() {
		return false, false
	}
	was := t.currentHealth()
	if !was.live() {
		was, _ = t.handle(t.policy, onPicked, nil)
		halfOpen = was == retryDue
	}
	if live && !was.live() && !halfOpen || !t.acquire(int64(t.MaxSessions)) {
		if halfOpen {
			t.handle(t.policy, onTrialAbandoned, nil)
			t.updateActive()
		}
		return false, false
	}
	if t.policy.byLatency {
		t.latency.begin()
	}
	if halfOpen || t.MaxSessions > 0 || t.policy.bySessions {
		t.updateActive()
	}
	return halfOpen, true
}

// Release gives back the slot that Pick has reserved.
func (t *Target) Release() {
	t.sessions.Add(-1)
	if now := t.active.Load(); now != nil && (now.MaxSessions > 0 || now.policy.bySessions) {
		t.changed()
	}
}

// Reenter takes a slot for a session that is connected and goes on in another engine, even if all are taken, and whatever the
// state of the target. Release gives it back.
func (t *Target) Reenter() {
	t.sessions.Add(1)
	t.updateActive()
}

// updateKey updates the key of the target in the tree of its priority.
func (t *Target) updateKey() {
	if t.priority != nil {
		t.priority.tree.set(t.index, t.key)
	}
}

// key returns the key of the target: see the keys in balance.go.
func (t *Target) key() uint64 {
	switch {
	case t.drained.Load() || t.Barred():
		return keyNone
	case t.full(), t.offered.Load():
		return keyFull
	}
	switch t.currentHealth() {
	case dead, inTrial:
		return keyDead
	}
	if t.demoted.Load() {
		return keyDemoted
	}
	if t.policy.rank == nil {
		return 0
	}
	return t.policy.rank(t)
}

// full reports whether the target has reached max_sessions.
func (t *Target) full() bool {
	return t.MaxSessions > 0 && t.sessions.Load() >= int64(t.MaxSessions)
}

// hasRoom reports whether the target can take a session, be it dead or alive.
func (t *Target) hasRoom() bool { return !t.drained.Load() && !t.Barred() && !t.full() }

// acquire takes one of most slots; most is 0 if there is no limit.
func (s *state) acquire(most int64) bool {
	if most == 0 {
		s.sessions.Add(1)
		return true
	}
	for {
		n := s.sessions.Load()
		if n >= most {
			return false
		}
		if s.sessions.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// updateActive updates the key of the endpoint in the active rotation.
func (s *state) updateActive() {
	if t := s.active.Load(); t != nil {
		t.updateKey()
	}
}

// changed is updateActive, and then offers free slots to waiting sessions.
func (s *state) changed() {
	t := s.active.Load()
	if t == nil || t.priority == nil {
		return
	}
	t.updateKey()
	t.priority.queue.offer(t)
}
