package logging

import (
	"sync"
	"time"

	"github.com/sirupsen/logrus"
)

// Sparing logs what may repeat without end: of each kind of message, one in an interval, with the number of those
// left out in between as field "left_out". It is safe for concurrent use, and remembers no more than a bounded number
// of kinds.
type Sparing struct {
	every time.Duration

	mu    sync.Mutex // guards kinds
	kinds map[string]*kind
}

type kind struct {
	next    time.Time // when one may be logged again
	leftOut int
}

// manyKinds is when kinds whose interval is over are forgotten, and the most that are remembered.
const manyKinds = 1024

// NewSparing lets one message of a kind through in each interval.
func NewSparing(every time.Duration) *Sparing {
	return &Sparing{every: every, kinds: map[string]*kind{}}
}

// Log writes message to entry at level, unless one of the same kind was written less than an interval ago.
func (s *Sparing) Log(entry *logrus.Entry, level logrus.Level, kind, message string) {
	leftOut, ok := s.pass(kind)
	if !ok {
		return
	}
	if leftOut > 0 {
		entry = entry.WithField("left_out", leftOut)
	}
	entry.Log(level, message)
}

func (s *Sparing) pass(name string) (leftOut int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	k := s.kinds[name]
	if k == nil {
		if len(s.kinds) >= manyKinds && !s.forget(now) {
			return 0, false
		}
		k = &kind{}
		s.kinds[name] = k
	}
	if now.Before(k.next) {
		k.leftOut++
		return 0, false
	}
	leftOut, k.leftOut = k.leftOut, 0
	k.next = now.Add(s.every)
	return leftOut, true
}

// forget makes room by dropping the kinds that may be logged again anyway; it reports whether there were any.
func (s *Sparing) forget(now time.Time) bool {
	for name, k := range s.kinds {
		if !now.Before(k.next) {
			delete(s.kinds, name)
		}
	}
	return len(s.kinds) < manyKinds
}
