package logging

import (
	"sync"
	"time"
)

// sparing says which of the things that may repeat without end are to be logged: of each kind one in an interval. It is
// safe for concurrent use, and remembers no more than a bounded number of kinds.
type sparing struct {
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

func newSparing(every time.Duration) *sparing {
	return &sparing{every: every, kinds: map[string]*kind{}}
}

// pass reports whether one of the kind is to be logged now, and how many were not since the last.
func (s *sparing) pass(name string) (leftOut int, ok bool) {
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
func (s *sparing) forget(now time.Time) bool {
	for name, k := range s.kinds {
		if !now.Before(k.next) {
			delete(s.kinds, name)
		}
	}
	return len(s.kinds) < manyKinds
}
