// Package logging is the log: where entries go, in which format, and how often similar ones may come. Who logs never
// waits for the log: a Logger queues entries for a goroutine that writes them. With systemd they go to the journal with
// all their fields.
package logging

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
)

// Level is how much an entry matters.
type Level = logrus.Level

// The levels of entries, and the names of them that a configuration can have.
const (
	Error = logrus.ErrorLevel
	Warn  = logrus.WarnLevel
	Info  = logrus.InfoLevel
	Debug = logrus.DebugLevel
)

// Fields are what an entry says beside its message. Errors and texts are written as one line of bounded length.
type Fields map[string]any

// ErrorKey is the field of an error, LeftOutKey that of how many entries were left out.
const (
	ErrorKey   = "error"
	LeftOutKey = "left_out"
)

// What a Logger holds at most.
const (
	queueLength  = 4096    // entries that wait to be written
	queueRecords = 3072    // the same of records of sessions: they leave room for what happens to the proxy
	queueBytes   = 8 << 20 // of all of them, about
)

// How long Close waits for the log.
const (
	flushTimeout = time.Second     // while no entry gets written
	flushMost    = 5 * time.Second // in all
)

// stalledAfter is how long the log may take for an entry before that is told.
const stalledAfter = 10 * time.Second

// ErrStalled is what Close returns when entries could not be written in time.
var ErrStalled = errors.New("the log does not accept entries: those still queued are lost")

// Logger queues log entries for a goroutine that writes them, so that a log that is slow, or stands still, holds up
// nobody. What does not fit into the queue, and what cannot be written, is counted and told as soon as it can be. A Logger
// is safe for concurrent use. Make it with New; Close ends it.
type Logger struct {
	sink    sink
	level   atomic.Uint32 // a Level
	queue   chan *entry
	bytes   atomic.Int64 // of the entries that wait
	lost    lost
	wrote   atomic.Uint64 // attempts to write an entry that have ended
	writing atomic.Int64  // when the one began that is on, in Unix nanoseconds; 0: none is
	wake    chan struct{} // has room for one: an entry is held by a throttle
	done    chan struct{} // closed when the goroutine has ended
	closing sync.Once

	mu        sync.RWMutex // guards closed, and that nothing is queued after it
	closed    bool
	throttles sync.Map // from Kind to *throttle
}

// entry is a log entry on its way. Its fields are bounded (bound).
type entry struct {
	time    time.Time
	level   Level
	message string
	fields  Fields
	record  bool
	size    int64 // bytes, about
}

// sink is where entries are written; it may block.
type sink interface{ write(*entry) error }

func newLogger(to sink, level Level) *Logger {
	l := &Logger{
		sink:  to,
		queue: make(chan *entry, queueLength),
		wake:  make(chan struct{}, 1),
		done:  make(chan struct{}),
	}
	l.level.Store(uint32(level))
	go l.run()
	return l
}

// Discard gives a logger that writes nothing and needs no Close.
func Discard() *Logger {
	l := &Logger{queue: make(chan *entry), done: make(chan struct{})} // the zero level is above all that is logged
	close(l.done)
	return l
}

// Enabled reports whether entries of a level are written at all.
func (l *Logger) Enabled(level Level) bool { return level <= Level(l.level.Load()) }

// SetLevel changes the least level that is written to the one of that name.
func (l *Logger) SetLevel(name string) error {
	level, err := parseLevel(name)
	if err == nil {
		l.level.Store(uint32(level))
	}
	return err
}

// Error is Log with the level Error.
func (l *Logger) Error(message string, fields Fields) { l.Log(Error, message, fields) }

// Warn is Log with the level Warn.
func (l *Logger) Warn(message string, fields Fields) { l.Log(Warn, message, fields) }

// Info is Log with the level Info.
func (l *Logger) Info(message string, fields Fields) { l.Log(Info, message, fields) }

// Log has an entry written. The fields, which may be nil, are the logger's from then on.
func (l *Logger) Log(level Level, message string, fields Fields) {
	if l.Enabled(level) {
		l.add(newEntry(level, message, fields))
	}
}

// Record has the record of a session written. When much waits to be written, records are left out first.
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

// Close writes what waits and ends the logger; what is logged from then on is left out. If the log takes nothing for
// flushTimeout, or not all in flushMost, it returns ErrStalled, and the goroutine stays until the log takes the entry
// that it is at.
func (l *Logger) Close() error {
	l.closing.Do(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.closed = true
		close(l.queue)
	})
	most := time.NewTimer(flushMost)
	defer most.Stop()
	for before := l.wrote.Load(); ; {
		stuck := time.NewTimer(flushTimeout)
		select {
		case <-l.done:
			stuck.Stop()
			return nil
		case <-most.C:
			stuck.Stop()
			return ErrStalled
		case <-stuck.C:
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
				l.tellLost(true)
				return
			}
			l.bytes.Add(-e.size)
			l.write(e)
			l.tellLost(false)
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

// put writes an entry, or gives why it was not written. Only run calls it.
func (l *Logger) put(e *entry) error {
	l.writing.Store(time.Now().UnixNano())
	defer l.wrote.Add(1)
	defer l.writing.Store(0)
	return l.sink.write(e)
}

// tellLost says how many entries were not written since it last did: at most once in a second, unless it is the last
// time. Only run calls it.
func (l *Logger) tellLost(last bool) {
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

// Lost tells how many entries were not written so far, and what is wrong with the log now; nil if it takes entries.
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
