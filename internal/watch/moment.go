package watch

import "time"

const (
	settle = 100 * time.Millisecond // the time without events before the file is read: a writer may need several steps
	latest = time.Second            // the time after the first event when the file is read in any case
)

// moment is the time when to read a file. The zero value is never.
type moment struct {
	due   time.Time
	bound time.Time // the latest value of due; zero: there was no event
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

// noLater sets the time to read the file if there was no event. A later event replaces it.
func (m *moment) noLater(then time.Time) {
	if m.due.IsZero() {
		m.due = then
	}
}
