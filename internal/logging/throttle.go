package logging

import (
	"container/list"
	"sync"
	"time"
)

// Kind is a kind of entries that may repeat without end, and how many of them are written. Each kind has limits of its
// own, so that none keeps another out of the log; and so has, within a kind, each key: an app, a target, a cause. Of a key
// Burst entries are written in an interval; of those that come beyond them the last one waits until the interval is over
// and is written then, with the number of those before it that were left out. So what is told last of a key is true.
type Kind struct {
	Name  string
	Burst int           // entries of a key that are written in an interval; at least 1
	Every time.Duration // the interval
	Total int           // entries of all keys that are written in a second; more wait, the keys taking turns
	Keys  int           // keys that are told apart; those that come while there are so many count as one
}

// Throttled has an entry of a kind written, now or later, or leaves it out, as the kind says. An entry of a level that
// is not written counts for nothing. The field LeftOutKey says how many of the key were left out before this one.
func (l *Logger) Throttled(kind Kind, key string, level Level, message string, fields Fields) {
	if l.Enabled(level) {
		l.throttle(kind, key, newEntry(level, message, fields))
	}
}

// ThrottledRecord does the same for the record of a session.
func (l *Logger) ThrottledRecord(kind Kind, key string, level Level, message string, fields Fields) {
	if l.Enabled(level) {
		e := newEntry(level, message, fields)
		e.record = true
		l.throttle(kind, key, e)
	}
}

func (l *Logger) throttle(kind Kind, key string, e *entry) {
	found, ok := l.throttles.Load(kind)
	if !ok {
		found, _ = l.throttles.LoadOrStore(kind, newThrottle(kind))
	}
	if found.(*throttle).pass(key, e) {
		l.add(e)
		return
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// release writes the entries whose time has come, and tells when that is of the next one. Only run calls it.
func (l *Logger) release(now time.Time) (next time.Time, some bool) {
	l.throttles.Range(func(_, value any) bool {
		t := value.(*throttle)
		for e := t.due(now); e != nil; e = t.due(now) {
			l.write(e)
		}
		if when, more := t.next(); more && (!some || when.Before(next)) {
			next, some = when, true
		}
		return true
	})
	return next, some
}

// releaseAll writes all that is held. Only run calls it.
func (l *Logger) releaseAll() {
	l.throttles.Range(func(_, value any) bool {
		for _, e := range value.(*throttle).rest() {
			l.write(e)
		}
		return true
	})
}

// throttle is what is known of a kind. It is safe for concurrent use.
type throttle struct {
	kind Kind

	mu      sync.Mutex // guards what follows
	slots   map[string]*slot
	cooling list.List // of *slot: of those whose interval is on, the one that is over first in front
	waiting list.List // of *slot: of those whose entry waits for room in a second, the one that came first in front
	second  time.Time // when the second began that is counted in
	written int       // in that
}

// slot is what is known of a key. It is in one of the lists.
type slot struct {
	key     string
	until   time.Time // when its interval is over
	written int       // in its interval
	held    *entry    // the last that was not written; nil: none
	leftOut uint64    // before held, since the last that was written
}

// otherKeys is the key of all that are not told apart.
const otherKeys = "\x00"

func newThrottle(kind Kind) *throttle {
	return &throttle{kind: kind, slots: map[string]*slot{}}
}

// pass reports whether an entry is to be written now. If it is not, it is held, or left out.
func (t *throttle) pass(key string, e *entry) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cool(e.time)
	s := t.slots[key]
	if s == nil && len(t.slots) >= t.kind.Keys {
		key = otherKeys
		s = t.slots[key]
	}
	now := s == nil || s.held == nil && s.written < t.kind.Burst
	if now && t.waiting.Len() == 0 && t.room(e.time) {
		if s == nil {
			s = &slot{key: key}
			t.slots[key] = s
			t.begin(s, e.time)
		}
		s.written++
		return true
	}
	if s == nil {
		s = &slot{key: key}
		t.slots[key] = s
		t.wait(s)
	}
	if s.held != nil {
		s.leftOut++
	}
	s.held = e
	return false
}

// due gives an entry that was held and is to be written now, or nil.
func (t *throttle) due(now time.Time) *entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cool(now)
	front := t.waiting.Front()
	if front == nil || !t.room(now) {
		return nil
	}
	s := front.Value.(*slot)
	e := s.take()
	t.waiting.Remove(front)
	t.begin(s, now)
	s.written = 1
	return e
}

// next tells when due may give something, or has something to forget.
func (t *throttle) next() (when time.Time, some bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.waiting.Len() > 0 {
		return t.second.Add(time.Second), true
	}
	if front := t.cooling.Front(); front != nil {
		return front.Value.(*slot).until, true
	}
	return time.Time{}, false
}

// rest gives all that is held, and forgets everything.
func (t *throttle) rest() (entries []*entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range []*list.List{&t.waiting, &t.cooling} {
		for e := l.Front(); e != nil; e = e.Next() {
			if s := e.Value.(*slot); s.held != nil {
				entries = append(entries, s.take())
			}
		}
		l.Init()
	}
	clear(t.slots)
	return entries
}

// cool ends the intervals that are over. A key that has nothing to tell then is forgotten.
func (t *throttle) cool(now time.Time) {
	for front := t.cooling.Front(); front != nil; front = t.cooling.Front() {
		s := front.Value.(*slot)
		if now.Before(s.until) {
			return
		}
		t.cooling.Remove(front)
		if s.held == nil {
			delete(t.slots, s.key)
		} else {
			t.wait(s)
		}
	}
}

// begin begins a slot's interval.
func (t *throttle) begin(s *slot, now time.Time) {
	s.until, s.written = now.Add(t.kind.Every), 0
	t.cooling.PushBack(s)
}

// wait has a slot wait for room.
func (t *throttle) wait(s *slot) { t.waiting.PushBack(s) }

// room reports whether one more entry may be written in this second, and counts it then.
func (t *throttle) room(now time.Time) bool {
	if now.Sub(t.second) >= time.Second {
		t.second, t.written = now, 0
	}
	if t.written >= t.kind.Total {
		return false
	}
	t.written++
	return true
}

// take gives what is held, with how many were left out.
func (s *slot) take() *entry {
	e := s.held
	if s.leftOut > 0 {
		if e.fields == nil {
			e.fields = Fields{}
		}
		e.fields[LeftOutKey] = s.leftOut
	}
	s.held, s.leftOut = nil, 0
	return e
}
