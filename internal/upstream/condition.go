package upstream

import "time"

// Condition is the state of a target at one moment.
type Condition struct {
	State      State
	Untested   bool          // it is Alive only because no connect and no probe has succeeded or made it dead yet
	Since      time.Time     // of State, or since it is no longer Untested
	Reason     string        // the last error of a dead target, or why it is barred; otherwise empty
	Retry      time.Duration // until the next half-open trial of a dead target; 0: none is scheduled
	DemotedFor time.Duration // for how much longer it is demoted after lost races; 0: it is not

	Sessions int64               // that hold a slot
	Total    int64               // sessions that were connected
	Early    int64               // sessions of Total that the target ended early: see ClosedEarly
	Failures [len(Reasons)]int64 // failed connects, by reason

	Upload, Download int64 // bytes relayed to and from it, as of the last sample of open sessions

	ConnectTime time.Duration // smoothed; 0: not known

	ProbesPassed, ProbesFailed int64
	LastProbe                  time.Time // zero: there was none
	LastProbeErr               error     // nil: it passed
}

// Condition returns the current state and counters of the target.
func (t *Target) Condition() Condition {
	c := Condition{
		State:       t.State(),
		Sessions:    t.sessions.Load(),
		Total:       t.total.Load(),
		Early:       t.early.Load(),
		Upload:      t.upload.Load(),
		Download:    t.download.Load(),
		ConnectTime: t.latency.value(),
		DemotedFor:  t.DemotedFor(),
	}
	c.Untested = c.State == Alive && t.currentHealth() == untested
	for i := range c.Failures {
		c.Failures[i] = t.failures[i].Load()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c.Since = t.since
	c.ProbesPassed, c.ProbesFailed, c.LastProbe, c.LastProbeErr = t.passedTotal, t.failedTotal, t.lastProbe, t.lastProbeErr
	if why := t.barred.Load(); why != nil {
		c.Reason = *why
	} else if t.Dead() {
		c.Retry = max(0, time.Until(t.retryAt))
		if t.err != nil {
			c.Reason = t.err.Error()
		}
	}
	return c
}
