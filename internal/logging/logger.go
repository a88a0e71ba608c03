// Package logging writes the log: as text, JSON, or to the journal with all fields. A Logger queues entries for a goroutine
// that writes them, so that callers never wait for the log, and limits how often similar entries are written.
package logging

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
)

// Level is the severity of an entry.
type Level = logrus.Level

// The levels of entries.
const (
	Error = logrus.ErrorLevel
	Warn  = logrus.WarnLevel
	Info  = logrus.InfoLevel
	Debug = logrus.DebugLevel
	Trace = logrus.TraceLevel
)

// Fields are the fields of an entry. Errors and texts are written as one line of bounded length.
type Fields map[string]any

// ErrorKey is the field of an error, LeftOutKey the field of the number of entries that were left out.
const (
	ErrorKey   = "error"
	LeftOutKey = "left_out"
)

// The limits of a Logger's queue.
const (
	queueLength  = 4096    // entries
	queueRecords = 3072    // entries with which session records are still queued; the rest is for other entries
	queueBytes   = 8 << 20 // approximate size of all entries
)

// The time that Close waits for the log.
const (
	flushTimeout = time.Second     // without an entry being written
	flushMost    = 5 * time.Second // in all
)

// stalledAfter is the time that writing one entry may take before Lost reports a problem.
const stalledAfter = 10 * time.Second

// ErrStalled is what Close returns when entries could not be written in time.
var ErrStalled = errors.New("the log does not accept entries: those still queued are lost")

// Logger queues log entries for a goroutine that writes them, so that a slow or blocked log delays no caller. It counts the
// entries that do not fit into the queue or cannot be written, and logs their number when writing succeeds again. A Logger
// is safe for concurrent use. Make it with New; Close ends it.
type Logger struct {
	sink    sink
	level   atomic.Uint32 // the Level in force
	levels  levels
	queue   chan *entry
	bytes   atomic.Int64 // approximate size of the queued entries
	lost    lost
	wrote   atomic.Uint64 // finished attempts to write an entry
	writing atomic.Int64  // the begin of the current attempt in Unix nanoseconds; 0: there is none
	wake    chan struct{} // capacity 1: a throttle holds an entry
	done    chan struct{} // closed when run has returned
	closing sync.Once

	mu        sync.RWMutex // guards closed; held while queuing, so that nothing is queued after Close
	closed    bool
	throttles sync.Map // from Kind to *throttle
}

// entry is a log entry. bound has bounded its texts.
type entry struct {
	time    time.Time
	level   Level
	message string
	fields  Fields
	record  bool  // of a session
	size    int64 // in bytes, approximately
}

// sink is the destination of entries; write may block.
type sink interface{ write(*entry) error }

func newLogger(to sink, level Level) *Logger {
	l := &Logger{
		sink:  to,
		queue: make(chan *entry, queueLength),
		wake:  make(chan struct{}, 1),
		done:  make(chan struct{}),
	}
	l.levels.configured = level
	l.level.Store(uint32(level))
	go l.run()
	return l
}

// Discard returns a logger that writes nothing and needs no Close.
func Discard() *Logger {
	l := &Logger{queue: make(chan *entry), done: make(chan struct{})} // no entry has the zero level
	close(l.done)
	return l
}

// Enabled reports whether entries of a level are written.
func (l *Logger) Enabled(level Level) bool { return level <= Level(l.level.Load()) }

// Error is Log with the level Error.
func (l *Logger) Error(message string, fields Fields) { l.Log(Error, message, fields) }

// Warn is Log with the level Warn.
func (l *Logger) Warn(message string, fields Fields) { l.Log(Warn, message, fields) }

// Info is Log with the level Info.
func (l *Logger) Info(message string, fields Fields) { l.Log(Info, message, fields) }

// Log writes an entry. The fields may be nil; the caller must not use them afterwards.
func (l *Logger) Log(level Level, message string, fields Fields) {
	if l.Enabled(level) {
		l.add(newEntry(level, message, fields))
	}
}

// Record writes the record of a session. When the queue is nearly full, records are left out first.
func (l *Logger) Record(level Level, message string, fields Fields) {
	if l.Enabled(level) {
		e := newEntry(level, message, fields)
		e.record = true
		l.add(e)
	}
}

// add queues an entry, or leaves it out.
func (l *Logger) add(e *entry) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return
	}
	if e.record && len(l.queue) >= queueRecords || l.bytes.Load()+e.size > queueBytes {
		l.lost.add(nil)
		return
	}
	select {
	case l.queue <- e:
		l.bytes.Add(e.size)
	default:
		l.lost.add(nil)
	}
}

// Close writes the queued entries and ends the logger; later entries are dropped. If no entry is written for flushTimeout, or
// not all are in flushMost, it returns ErrStalled; the goroutine then goes on until all are written.
func (l *Logger) Close() error {
	l.closing.Do(func() {
		l.levels.mu.Lock()
		l.stopOverride()
		l.levels.mu.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		l.closed = true
		close(l.queue)
	})
	total := time.NewTimer(flushMost)
	defer total.Stop()
	for before := l.wrote.Load(); ; {
		stalled := time.NewTimer(flushTimeout)
		select {
		case <-l.done:
			stalled.Stop()
			return nil
		case <-total.C:
			stalled.Stop()
			return ErrStalled
		case <-stalled.C:
		}
		now := l.wrote.Load()
		if now == before {
			return ErrStalled
		}
		before = now
	}
}

// run is the goroutine that writes.
func (l *Logger) run() {
	defer close(l.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if next, some := l.release(time.Now()); some {
			timer.Reset(time.Until(next))
		} else {
			timer.Stop()
		}
		select {
		case e, open := <-l.queue:
			if !open {
				l.releaseAll()
				l.reportLost(true)
				return
			}
			l.bytes.Add(-e.size)
			l.write(e)
			l.reportLost(false)
		case <-l.wake:
		case <-timer.C:
		}
	}
}

// write writes an entry. Only run calls it.
func (l *Logger) write(e *entry) {
	if err := l.put(e); err != nil {
		l.lost.add(err)
	}
}

// put writes an entry, or returns why that failed. Only run calls it.
func (l *Logger) put(e *entry) error {
	l.writing.Store(time.Now().UnixNano())
	defer l.wrote.Add(1)
	defer l.writing.Store(0)
	return l.sink.write(e)
}

// reportLost logs the number of entries that were lost since its last report: at most once a second, unless it is the last
// report. Only run calls it.
func (l *Logger) reportLost(last bool) {
	n, why := l.lost.take(last)
	if n == 0 {
		return
	}
	fields := Fields{LeftOutKey: n}
	if why != nil {
		fields[ErrorKey] = why
	}
	if err := l.put(newEntry(Warn, "log entries were left out: the log did not accept them", fields)); err != nil {
		l.lost.putBack(n, err)
	}
}

// Lost returns the number of entries that were lost so far, and the log's current problem; nil if it accepts entries.
func (l *Logger) Lost() (total uint64, problem error) {
	total, problem = l.lost.read()
	if begun := l.writing.Load(); begun != 0 {
		if took := time.Since(time.Unix(0, begun)); took >= stalledAfter {
			problem = fmt.Errorf("it has accepted no entry for %v", took.Round(time.Second))
		}
	}
	return total, problem
}

func newEntry(level Level, message string, fields Fields) *entry {
	e := &entry{time: time.Now(), level: level, message: message, fields: fields}
	e.bound()
	return e
}
