package loop

import "golang.org/x/sys/unix"

// wakeUp takes the time of a turn that begins, and notes whether it is so late that the loop has stood still.
func (l *loop) wakeUp() {
	l.now = l.reactor.Now()
	l.standstill.Late(l.reactor.Late(), l.now)
}

// look asks the kernel what has happened to the session's sockets, whatever events were handled, and lets the session do
// what it can do now. A time-out counts only after that. It reports false if the session has ended.
func (l *loop) look(s *sessionHot) bool {
	var fds [len(s.side)]unix.PollFd
	for i := range fds {
		fds[i] = unix.PollFd{Fd: s.side[i].fd, Events: unix.POLLIN | unix.POLLPRI | unix.POLLOUT | unix.POLLRDHUP} // poll(2) ignores -1
	}
	if _, err := unix.Poll(fds[:], 0); err != nil {
		return true // a signal, or no memory: events have to do
	}
	key := l.sessions.key(s)
	for i := range fds {
		if events := uint32(fds[i].Revents); events != 0 {
			l.note(l.eventData(s, i), events) // poll and epoll have the same bits
		}
	}
	if s.queued {
		s.queued = false
		l.step(s)
	}
	return l.sessions.key(s) == key
}
