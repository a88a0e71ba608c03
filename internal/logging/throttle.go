package logging

import (
	"container/list"
	"sync"
	"time"
)

// Kind is a kind of entries that may be logged any number of times, with its limits. Each kind has its own limits, so that
// none displaces another; and so has each key within a kind: an app, a target, a cause.
//
// In an interval, Burst entries of a key are written at once. Of further ones, only the last is written, at the end of the
// interval, with the number of the others. So the last entry of a key in the log is always the last one that was logged.
//
// A token bucket (internal/ratelimit) would let none through when it is empty, and lose that last entry.
type Kind struct {
	Name  string
	Burst int           // entries of a key in an interval; at least 1
	Every time.Duration // the interval
	Total int           // entries of all keys in a second; further keys wait, each for one entry
	Keys  int           // keys that are distinguished; when there are so many, new ones count as one
}

// Throttled writes an entry, now or later, or leaves it out, by the limits of its kind. An entry of a level that is not
// written does not count. The field LeftOutKey is the number of entries of the key that were left out before this one.
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

// release writes the held entries that are due, and returns when to call it next. Only run calls it.
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

// releaseAll writes all entries that are held. Only run calls it.
func (l *Logger) releaseAll() {
	l.throttles.Range(func(_, value any) bool {
		for _, e := range value.(*throttle).rest() {
			l.write(e)
		}
		return true
	})
}

// throttle is the state of a kind. It is safe for concurrent use.
type throttle struct {
	kind Kind

	mu      sync.Mutex // guards what follows
	keys    map[string]*keyThrottle
	cooling list.List // of *keyThrottle: keys in an interval, by its end
	waiting list.List // of *keyThrottle: keys whose held entry waits because of Total, first come first served
	second  time.Time // the begin of the second in which written counts
	written int
}

// keyThrottle is the state of a key. It is in one of the lists of its throttle.
type keyThrottle struct {
	key     string
	until   time.Time // the end of its interval
	written int       // entries in its interval
	held    *entry    // the last entry, if that was not written; or nil
	leftOut uint64    // entries between the last one that was written and held
}

// otherKeys is the key of those beyond Kind.Keys.
const otherKeys = "\x00"

func newThrottle(kind Kind) *throttle {
	return &throttle{kind: kind, keys: map[string]*keyThrottle{}}
}

// pass reports whether an entry is to be written now. Otherwise the throttle holds it, in place of the one it held.
func (t *throttle) pass(key string, e *entry) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cool(e.time)
	s := t.keys[key]
	if s == nil && len(t.keys) >= t.kind.Keys {
		key = otherKeys
		s = t.keys[key]
	}
	now := s == nil || s.held == nil && s.written < t.kind.Burst
	if now && t.waiting.Len() == 0 && t.room(e.time) {
		if s == nil {
			s = &keyThrottle{key: key}
			t.keys[key] = s
			t.begin(s, e.time)
		}
		s.written++
		return true
	}
	if s == nil {
		s = &keyThrottle{key: key}
		t.keys[key] = s
		t.wait(s)
	}
	if s.held != nil {
		s.leftOut++
	}
	s.held = e
	return false
}

// due returns an entry that was held and is to be written now, or nil.
func (t *throttle) due(now time.Time) *entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cool(now)
	front := t.waiting.Front()
	if front == nil || !t.room(now) {
		return nil
	}
	s := front.Value.(*keyThrottle)
	e := s.take()
	t.waiting.Remove(front)
	t.begin(s, now)
	s.written = 1
	return e
}

// next returns when due may return an entry, or removes a key.
func (t *throttle) next() (when time.Time, some bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.waiting.Len() > 0 {
		return t.second.Add(time.Second), true
	}
	if front := t.cooling.Front(); front != nil {
		return front.Value.(*keyThrottle).until, true
	}
	return time.Time{}, false
}

// rest returns all entries that are held, and removes all keys.
func (t *throttle) rest() (entries []*entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range []*list.List{&t.waiting, &t.cooling} {
		for e := l.Front(); e != nil; e = e.Next() {
			if s := e.Value.(*keyThrottle); s.held != nil {
				entries = append(entries, s.take())
			}
		}
		l.Init()
	}
	clear(t.keys)
	return entries
}

// cool ends intervals. A key without a held entry is removed then.
func (t *throttle) cool(now time.Time) {
	for front := t.cooling.Front(); front != nil; front = t.cooling.Front() {
		s := front.Value.(*keyThrottle)
		if now.Before(s.until) {
			return
		}
		t.cooling.Remove(front)
		if s.held == nil {
			delete(t.keys, s.key)
		} else {
			t.wait(s)
		}
	}
}

// begin begins an interval of a key.
func (t *throttle) begin(s *keyThrottle, now time.Time) {
	s.until, s.written = now.Add(t.kind.Every), 0
	t.cooling.PushBack(s)
}

// wait queues a key whose entry waits because of Total.
func (t *throttle) wait(s *keyThrottle) { t.waiting.PushBack(s) }

// room reports whether one more entry may be written in this second, and counts it if so.
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

// take returns the held entry, with the number of those that were left out.
func (s *keyThrottle) take() *entry {
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
