package upstream

import "time"

// An address of a name that does not answer in time has a rival beside it, another address of the same name (RFC 8305,
// section 5), and costs every session that time that is to begin with it. So an address that its rivals have overtaken
// lossesInARow times is tried second for secondFor: it is picked when no other that lives can take the session, and as a
// rival of others. Until it answers (a connection of a session stands, or a probe passes), each further loss does the same.
const (
	lossesInARow = 3
	secondFor    = 10 * time.Minute
)

// LostRace says that the session, which may be the trial, gave up connecting because a rival that was begun later stands
// already. It reports whether the target is tried second from now on.
func (t *Target) LostRace(trial bool) (second bool) {
	second = t.lose()
	t.Abandoned(trial)
	if second {
		t.changed()
	}
	return second
}

// DemotedFor is for how much longer the target is tried second; 0 if it is not.
func (t *Target) DemotedFor() time.Duration {
	if !t.second.Load() {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return max(0, time.Until(t.secondUntil))
}

// lose counts a loss. It reports whether the target is second from now on, and was not before.
func (s *state) lose() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone || s.lost.Add(1) < lossesInARow || s.second.Swap(true) {
		return false
	}
	s.secondUntil = time.Now().Add(secondFor)
	s.secondTimer = time.AfterFunc(secondFor, s.secondOver)
	return true
}

// secondOver is called when a target has been second for long enough, or is too late to be stopped.
func (s *state) secondOver() {
	s.mu.Lock()
	over := s.second.Load() && !time.Now().Before(s.secondUntil)
	if over {
		s.firstAgain()
	}
	s.mu.Unlock()
	if over {
		s.changed()
	}
}

// won forgets the losses of a target that has answered. It reports whether that target was second.
func (s *state) won() (was bool) {
	if s.lost.Load() == 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost.Store(0)
	return s.firstAgain()
}

// firstAgain has the target be second no more. It reports whether it was. The caller holds mu.
func (s *state) firstAgain() (was bool) {
	if s.secondTimer != nil {
		s.secondTimer.Stop()
		s.secondTimer = nil
	}
	return s.second.Swap(false)
}
