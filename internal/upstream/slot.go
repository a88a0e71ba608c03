package upstream

// reserve takes a place for a session; live, if it was picked as one that lives. The session may become the trial of a
// dead target that is due for one. It fails if the target cannot take the session, or not any more, or is being offered to
// those who wait.
func (t *Target) reserve(live bool) (trial, ok bool) {
	if t.offered.Load() {
		return false, false
	}
	return t.seize(live)
}

// seize is reserve for those to whom the target is being offered.
func (t *Target) seize(live bool) (trial, ok bool) {
	if t.drained.Load() || t.Barred() {
		return false, false
	}
	was := t.known()
	if was != alive {
		was, _ = t.happen(t.policy, trialBegan, nil)
		trial = was == due
	}
	if live && was != alive && !trial || !t.occupy(int64(t.MaxSessions)) {
		if trial {
			t.happen(t.policy, trialAbandoned, nil)
			t.update()
		}
		return false, false
	}
	if t.policy.measures {
		t.time.owe()
	}
	if trial || t.MaxSessions > 0 || t.policy.counts {
		t.update()
	}
	return trial, true
}

// Release gives back the place that Pick reserved.
func (t *Target) Release() {
	t.sessions.Add(-1)
	if now := t.now.Load(); now != nil && (now.MaxSessions > 0 || now.policy.counts) {
		t.changed()
	}
}

// show brings what the target's tier knows of it up to date.
func (t *Target) show() {
	if t.tier != nil {
		t.tier.tree.set(t.place, t.key)
	}
}

// key is what the tree of the tier is to have of the target.
func (t *Target) key() uint64 {
	switch {
	case t.drained.Load() || t.Barred():
		return keyNone
	case t.full(), t.offered.Load():
		return keyFull
	}
	switch t.known() {
	case dead, onTrial:
		return keyDead
	}
	if t.second.Load() {
		return keySecond
	}
	if t.policy.rank == nil {
		return 0
	}
	return t.policy.rank(t)
}

// full reports whether the target has all the sessions that it may have.
func (t *Target) full() bool {
	return t.MaxSessions > 0 && t.sessions.Load() >= int64(t.MaxSessions)
}

// room reports whether the target can take a session, if only as one that is dead.
func (t *Target) room() bool { return !t.drained.Load() && !t.Barred() && !t.full() }

// occupy takes one of most places; 0 is no limit.
func (s *state) occupy(most int64) bool {
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

// update brings up to date what the rotation in force knows of the endpoint.
func (s *state) update() {
	if t := s.now.Load(); t != nil {
		t.show()
	}
}

// changed is update, and offers what room there is to those who wait.
func (s *state) changed() {
	t := s.now.Load()
	if t == nil || t.tier == nil {
		return
	}
	t.show()
	t.tier.queue.offer(t)
}
