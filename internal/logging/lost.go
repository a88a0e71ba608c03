package logging

import (
	"errors"
	"sync"
	"time"
)

// lost counts the entries that were not written. It is safe for concurrent use.
type lost struct {
	mu         sync.Mutex // guards what follows
	total      uint64
	unreported uint64
	why        error     // why writing the last one failed; nil: the queue was full
	reported   time.Time // when take last returned some
	full       time.Time // when the queue was last full
}

// errTooSlow is the problem of a log that accepts entries more slowly than they come.
var errTooSlow = errors.New("it accepts entries more slowly than they come")

// add counts an entry that could not be written, or, if why is nil, did not fit into the queue.
func (l *lost) add(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total++
	l.unreported++
	l.why = why
	if why == nil {
		l.full = time.Now()
	}
}

// take returns the number of entries that were not reported yet, and counts them as reported. Within a second of the last
// report it returns 0, unless force is set.
func (l *lost) take(force bool) (n uint64, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.unreported == 0 || !force && now.Sub(l.reported) < time.Second {
		return 0, nil
	}
	n, why = l.unreported, l.why
	l.unreported, l.why, l.reported = 0, nil, now
	return n, why
}

// putBack undoes take: n entries could not be reported.
func (l *lost) putBack(n uint64, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unreported += n
	l.why = why
}

// read returns the number of entries that were lost, and why entries cannot be written now; nil if they can. That the log is
// too slow is a problem until stalledAfter after the queue was last full.
func (l *lost) read() (total uint64, problem error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.why == nil && !l.full.IsZero() && time.Since(l.full) < stalledAfter {
		return l.total, errTooSlow
	}
	return l.total, l.why
}
