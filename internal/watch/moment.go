package watch

import "time"

const (
	settle = 100 * time.Millisecond // how long a file is left alone before it is looked at: who writes it in steps is to be done
	latest = time.Second            // but if it is never left alone, it is looked at so long after the first event
)

// moment is when to look at a file: never, in the zero value.
type moment struct {
	due   time.Time
	bound time.Time // due is not put off beyond it; zero: nothing has happened
}

// happened notes an event.
func (m *moment) happened(now time.Time) {
	if m.bound.IsZero() {
		m.bound = now.Add(latest)
	}
	m.due = now.Add(settle)
	if m.due.After(m.bound) {
		m.due = m.bound
	}
}

// noLater has the file looked at by then, whatever happens.
func (m *moment) noLater(then time.Time) {
	if m.due.IsZero() {
		m.due = then
	}
}
