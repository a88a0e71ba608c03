package logging

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
)

// Diary writes log entries in a goroutine of its own, so that a log that is slow, or stands still, holds up nobody who
// has something to say. Entries wait in a queue of bounded length; what does not fit is left out, and how much that was
// is logged as soon as it can be. It is safe for concurrent use.
type Diary struct {
	log     *logrus.Logger
	sparing *sparing
	queue   chan entry
	leftOut atomic.Uint64
	done    chan struct{} // closed when the goroutine has ended

	mu     sync.RWMutex // guards closed, and that nothing is queued after it
	closed bool
}

type entry struct {
	time    time.Time
	level   logrus.Level
	message string
	fields  logrus.Fields
}

// diaryLength is how many entries may wait.
const diaryLength = 4096

// ErrLogStalled is what Close returns when entries could not be written in time.
var ErrLogStalled = errors.New("the log stands still: entries are lost")

// NewDiary starts a diary that writes to log. Of each kind that is logged sparingly, one entry is written in an interval
// of that length.
func NewDiary(log *logrus.Logger, interval time.Duration) *Diary {
	d := &Diary{log: log, sparing: newSparing(interval), queue: make(chan entry, diaryLength), done: make(chan struct{})}
	go d.write()
	return d
}

// Enabled reports whether entries of a level are written at all.
func (d *Diary) Enabled(level logrus.Level) bool { return d.log.IsLevelEnabled(level) }

// Log has an entry written. The fields are the diary's from then on.
func (d *Diary) Log(level logrus.Level, message string, fields logrus.Fields) {
	if !d.Enabled(level) {
		return
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.closed {
		return
	}
	select {
	case d.queue <- entry{time.Now(), level, message, fields}:
	default:
		d.leftOut.Add(1)
	}
}

// Sparingly has an entry written unless one of its kind was less than an interval ago, and reports whether it was not.
// The field "left_out" says how many of the kind were left out since the last.
func (d *Diary) Sparingly(kind string, level logrus.Level, message string, fields logrus.Fields) bool {
	n, ok := d.sparing.pass(kind)
	if !ok {
		return false
	}
	if n > 0 {
		fields["left_out"] = n
	}
	d.Log(level, message, fields)
	return true
}

// Close writes what is waiting and ends the diary. If the context is done first, it returns ErrLogStalled, and the
// goroutine stays until the log takes the entry that it is at.
func (d *Diary) Close(ctx context.Context) error {
	d.mu.Lock()
	if !d.closed {
		d.closed = true
		close(d.queue)
	}
	d.mu.Unlock()
	select {
	case <-d.done:
		return nil
	case <-ctx.Done():
		return ErrLogStalled
	}
}

func (d *Diary) write() {
	defer close(d.done)
	for e := range d.queue {
		d.log.WithFields(e.fields).WithTime(e.time).Log(e.level, e.message)
		if n := d.leftOut.Swap(0); n > 0 {
			d.log.WithField("left_out", n).Warn("log entries were left out: the log does not take them as fast as they come")
		}
	}
}
