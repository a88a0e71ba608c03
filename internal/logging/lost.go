package logging

import (
	"errors"
	"sync"
	"time"
)

// lost counts entries that were not written. It is safe for concurrent use.
type lost struct {
	mu     sync.Mutex // guards what follows
	total  uint64
	untold uint64
	why    error     // the last one could not be written for that; nil: there was no room
	told   time.Time // when take last gave something
	noRoom time.Time // when an entry last found no room
}

// errTooSlow is the problem of a log that accepts entries more slowly than they come.
var errTooSlow = errors.New("it accepts entries more slowly than they come")

// add counts an entry that could not be written for a reason, or, without one, found no room.
func (l *lost) add(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total++
	l.untold++
	l.why = why
	if why == nil {
		l.noRoom = time.Now()
	}
}

// take gives how many entries have not been told of, which then have been. Unless it must, it gives 0 within a second of
// the last time.
func (l *lost) take(must bool) (n uint64, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.untold == 0 || !must && now.Sub(l.told) < time.Second {
		return 0, nil
	}
	n, why = l.untold, l.why
	l.untold, l.why, l.told = 0, nil, now
	return n, why
}

// putBack takes back that n were told of.
func (l *lost) putBack(n uint64, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.untold += n
	l.why = why
}

// read gives how many entries were lost, and why entries cannot be written now; nil if they can. A log that is too slow is
// a problem for stalledAfter after the last entry that found no room.
func (l *lost) read() (total uint64, problem error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.why == nil && !l.noRoom.IsZero() && time.Since(l.noRoom) < stalledAfter {
		return l.total, errTooSlow
	}
	return l.total, l.why
}
