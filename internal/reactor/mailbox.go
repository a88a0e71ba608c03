package reactor

import (
	"sync"
	"sync/atomic"

	"tcp-proxy/internal/linux"
)

// mailbox is how other goroutines have commands done by the owner of a reactor.
type mailbox struct {
	waker *linux.Waker

	mu     sync.Mutex // guards what follows
	posted []func()
	closed bool
	full   atomic.Bool // there is something in posted, and the waker was called for it; may be read without mu

	// The owner's own: the commands that it has fetched, and how many of them are done. The two lists change places.
	taken []func()
	done  int
}

func (m *mailbox) post(f func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock() // close comes before Wake or after it
	if m.closed {
		return false
	}
	m.posted = append(m.posted, f)
	if !m.full.Load() {
		m.full.Store(true)
		m.waker.Wake()
	}
	return true
}

// fetch takes what was posted, unless something that was taken before is still to be done. It reports whether there is
// something to be done.
func (m *mailbox) fetch() bool {
	if m.left() {
		return true
	}
	if !m.full.Load() {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.posted, m.taken, m.done = m.taken[:0], m.posted, 0
	m.full.Store(false)
	return m.left()
}

// any reports whether there is something to be done. What was posted counts, too: a turn in which commands were left over may
// have seen the event of the waker, and not have fetched.
func (m *mailbox) any() bool { return m.left() || m.full.Load() }

// left reports whether there is a command that was taken and is not done.
func (m *mailbox) left() bool { return m.done < len(m.taken) }

// next is the next command of those that were taken.
func (m *mailbox) next() func() {
	f := m.taken[m.done]
	m.taken[m.done] = nil
	m.done++
	return f
}

// close refuses what is posted from now on, and closes the waker: its number may be another descriptor's then.
func (m *mailbox) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed, m.posted = true, nil
	return m.waker.Close()
}
