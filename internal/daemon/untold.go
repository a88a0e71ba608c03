package daemon

import "time"

// How many entries about refused reloads are written: a file may change, and be refused, without end.
const (
	mostErrors  = 200 // entries in an interval, unless one reload has more
	errorsEvery = 10 * time.Second
)

// untold decides which refused reloads are logged at once. When an interval has had its entries, the last refused reload is
// held until the interval is over. Only Run uses it.
type untold struct {
	every   time.Duration // how long an interval is
	until   time.Time     // when the interval is over
	told    int           // errors, in the interval
	held    []error       // the errors of the last reload that is not told yet; nil: there is none
	leftOut uint64        // refused reloads before held that are not told
}

// pass reports whether the errors of a refused reload are to be told now. If they are not, they are held in place of
// those before.
func (u *untold) pass(errs []error, now time.Time) bool {
	if u.held == nil && !now.Before(u.until) {
		u.until, u.told = now.Add(u.every), 0
	}
	if u.held == nil && (u.told == 0 || u.told+len(errs) <= mostErrors) {
		u.told += len(errs)
		return true
	}
	if u.held != nil {
		u.leftOut++
	}
	u.held = errs
	return false
}

// due tells when take is to be called; it is nil, which never does, if nothing is held.
func (u *untold) due() <-chan time.Time {
	if u.held == nil {
		return nil
	}
	return time.After(time.Until(u.until))
}

// take gives what is held, to be told now, and how many refused reloads before it are not told. A new interval begins.
func (u *untold) take(now time.Time) (errs []error, leftOut uint64) {
	errs, leftOut = u.held, u.leftOut
	*u = untold{every: u.every, until: now.Add(u.every), told: len(errs)}
	return errs, leftOut
}

// forget drops what is held, since it is no longer true, and tells how many refused reloads are not told.
func (u *untold) forget() (leftOut uint64) {
	leftOut = u.leftOut
	if u.held != nil {
		leftOut++
	}
	u.held, u.leftOut = nil, 0
	return leftOut
}
