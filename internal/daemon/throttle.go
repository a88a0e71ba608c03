package daemon

import "time"

// The limits of log entries about refused reloads: a file may change again and again, and be refused each time.
const (
	mostErrors  = 200 // entries in an interval, or those of one reload if it has more
	errorsEvery = 10 * time.Second
)

// throttle decides when refused reloads are logged. When an interval has its number of entries, the last refused reload is
// held until the end of the interval. Only Run uses it.
type throttle struct {
	every   time.Duration // the length of an interval
	until   time.Time     // the end of the interval
	logged  int           // errors in the interval
	held    []error       // the errors of the last refused reload, if that is not logged yet; nil: there is none
	leftOut uint64        // refused reloads before held that were not logged
}

// pass reports whether the errors of a refused reload are to be logged now. Otherwise it holds them, in place of those it held.
func (t *throttle) pass(errs []error, now time.Time) bool {
	if t.held == nil && !now.Before(t.until) {
		t.until, t.logged = now.Add(t.every), 0
	}
	if t.held == nil && (t.logged == 0 || t.logged+len(errs) <= mostErrors) {
		t.logged += len(errs)
		return true
	}
	if t.held != nil {
		t.leftOut++
	}
	t.held = errs
	return false
}

// due returns a channel that gets a value when take is to be called; nil if nothing is held.
func (t *throttle) due() <-chan time.Time {
	if t.held == nil {
		return nil
	}
	return time.After(time.Until(t.until))
}

// take returns the held errors, to be logged now, and the number of refused reloads before them that were not logged. A new
// interval begins.
func (t *throttle) take(now time.Time) (errs []error, leftOut uint64) {
	errs, leftOut = t.held, t.leftOut
	*t = throttle{every: t.every, until: now.Add(t.every), logged: len(errs)}
	return errs, leftOut
}

// forget drops the held errors, after a reload that succeeded, and returns the number of refused reloads that were not logged.
func (t *throttle) forget() (leftOut uint64) {
	leftOut = t.leftOut
	if t.held != nil {
		leftOut++
	}
	t.held, t.leftOut = nil, 0
	return leftOut
}
