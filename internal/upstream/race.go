package upstream

import (
	"math/rand/v2"
	"time"
)

// A session races a second address of a name against one that does not answer in time (Happy Eyeballs, RFC 8305,
// section 5). A first address that never answers delays every session that begins with it. So an address that has
// lost lossesToDemote races in a row is demoted for demotionTime: it is picked only if no other live target can take
// the session, and as the second address in a race. Each further loss demotes it again, until it answers: a session
// connects, or a probe passes.
const (
	lossesToDemote = 3
	demotionTime   = 10 * time.Minute
)

// Race picks a second address to race against t: another endpoint of the same name, of the other address family, that
// is alive and was not tried; a demoted one only if there is no other. It reserves a slot on it and adds it to tried;
// it returns nil if there is none. The session reports the result as for a target that Pick gave.
func (s *Set) Race(t *Target, tried *Attempts) (racing *Target, halfOpen bool) {
	all := s.shared.active.Load().named[t.Address]
	start := rand.IntN(len(all) + 1)
	for _, demoted := range []bool{false, true} {
		for i := range all {
			x := all[(start+i)%len(all)]
			if x.Addr.Addr().Is4() == t.Addr.Addr().Is4() || x.demoted.Load() != demoted || tried.has(x) {
				continue
			}
			if halfOpen, ok := x.reserve(true); ok {
				tried.add(x)
				s.shared.queue.offer(x)
				return x, halfOpen
			}
		}
	}
	return nil, false
}

// LostRace reports that the session, which may make the half-open trial, gave up connecting because an address that
// was tried later is connected. It returns whether the target is demoted by this.
func (t *Target) LostRace(halfOpen bool) (demoted bool) {
	demoted = t.countLostRace()
	t.Abandoned(halfOpen)
	if demoted {
		t.changed()
	}
	return demoted
}

// DemotedFor returns for how much longer the target is demoted; 0 if it is not.
func (t *Target) DemotedFor() time.Duration {
	if !t.demoted.Load() {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return max(0, time.Until(t.demotedUntil))
}

// countLostRace returns whether the target is demoted by this.
func (s *state) countLostRace() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.retired || s.racesLost.Add(1) < lossesToDemote || s.demoted.Swap(true) {
		return false
	}
	s.demotedUntil = time.Now().Add(demotionTime)
	s.demotionTimer = time.AfterFunc(demotionTime, s.demotionTimeCame)
	return true
}

// demotionTimeCame is called by demotionTimer, maybe after it was stopped.
func (s *state) demotionTimeCame() {
	s.mu.Lock()
	over := s.demoted.Load() && !time.Now().Before(s.demotedUntil)
	if over {
		s.endDemotion()
	}
	s.mu.Unlock()
	if over {
		s.changed()
	}
}

// resetLostRaces is called when the target has answered. It returns whether the target was demoted.
func (s *state) resetLostRaces() (was bool) {
	if s.racesLost.Load() == 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.racesLost.Store(0)
	return s.endDemotion()
}

// endDemotion returns whether the target was demoted. The caller holds mu.
func (s *state) endDemotion() (was bool) {
	if s.demotionTimer != nil {
		s.demotionTimer.Stop()
		s.demotionTimer = nil
	}
	return s.demoted.Swap(false)
}
