package upstream

import "time"

// Condition is what is known of a target at one moment.
type Condition struct {
	State      State
	Since      time.Time // of that state
	Reason     string    // the last error of a dead target, or why it is barred; empty otherwise
	Retry      time.Duration
	DemotedFor time.Duration // for how much longer it is tried second, as an address that its rivals overtake

	Sessions int64               // that hold a place
	Total    int64               // that were connected
	Early    int64               // of those, the ones that the target ended early: see ClosedEarly
	Failures [len(Reasons)]int64 // connects that failed, by reason

	ConnectTime time.Duration // smoothed; 0: not known

	ProbesPassed, ProbesFailed int64
	LastProbe                  time.Time // zero: there was none
	LastProbeErr               error     // what it found wrong
}

// Condition tells how the target is now.
func (t *Target) Condition() Condition {
	c := Condition{
		State:       t.State(),
		Sessions:    t.sessions.Load(),
		Total:       t.total.Load(),
		Early:       t.early.Load(),
		ConnectTime: t.time.connect(),
		DemotedFor:  t.DemotedFor(),
	}
	for i := range c.Failures {
		c.Failures[i] = t.failures[i].Load()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c.Since = t.since
	c.ProbesPassed, c.ProbesFailed, c.LastProbe, c.LastProbeErr = t.passedEver, t.failedEver, t.probed, t.probeErr
	if why := t.barred.Load(); why != nil {
		c.Reason = *why
	} else if t.Dead() {
		c.Retry = max(0, time.Until(t.retry))
		if t.err != nil {
			c.Reason = t.err.Error()
		}
	}
	return c
}
