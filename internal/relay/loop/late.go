package loop

import (
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/relay"
)

// nextChance is how long after a second chance there is another one, unless the loop has stood still for at least twice as
// long as before that: a turn that was a little late takes nothing from a standstill after it, and time-outs still come
// where every turn is late.
const nextChance = int64(10 * time.Second)

// wakeUp takes the time of a turn that begins, and notes whether it is so late that the loop has stood still.
func (l *loop) wakeUp() {
	l.now = l.reactor.Now()
	late := l.reactor.Late()
	if late < int64(relay.StoodStill) {
		return
	}
	if l.woke == 0 || l.now-l.woke >= nextChance || late >= 2*l.stood {
		l.woke, l.stood = l.now, late
	}
}

// believed is when a time-out that is over at a moment, after this long, is believed: if the loop has stood still
// meanwhile, what it waits for has another chance.
func (l *loop) believed(at int64, limit time.Duration) int64 {
	if l.woke == 0 {
		return at
	}
	return max(at, l.woke+int64(relay.Chance(limit)))
}

// look asks the kernel what has happened to the session's sockets, whatever events have told, and has the session do what
// it can do now. A time-out is believed only after that. It reports false if the session is over, or does not wait any
// more for what it has waited for.
func (l *loop) look(s *session) bool {
	var fds [len(s.side)]unix.PollFd
	for i := range fds {
		fds[i] = unix.PollFd{Fd: s.side[i].fd, Events: unix.POLLIN | unix.POLLOUT | unix.POLLRDHUP} // poll(2) passes over -1
	}
	if _, err := unix.Poll(fds[:], 0); err != nil {
		return true // a signal, or no memory: what events have told has to do
	}
	state, key, until := s.state, l.sessions.key(s), s.until
	for i := range fds {
		if events := uint32(fds[i].Revents); events != 0 {
			l.note(l.eventData(s, i), events) // poll and epoll have the same bits
		}
	}
	if s.queued {
		s.queued = false
		l.step(s)
	}
	return s.state == state && l.sessions.key(s) == key && s.until == until
}
