package loop

import (
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
)

// early is how much is read of what a client has sent before its target stands. Should that take time, it is held.
const early = 16 << 10

// hasten sends what the client has sent already to a target on this machine. Such a connection mostly stands by the time
// that connect(2) has returned, and to write is to find that out: a short session is spared a wait. It returns what has
// become of the connect: 0, EINPROGRESS or its error.
func (l *loop) hasten(s *session, b *beside) syscall.Errno {
	from, to, f := &s.side[client], &s.side[upstream], &s.flow[client]
	if !to.mark.has(local) || to.mark.has(ephemeral) || f.pending > 0 || s.paced || b.route.SendProxy != 0 {
		return unix.EINPROGRESS
	}
	n, errno := linux.Receive(int(from.fd), l.buffer[:early])
	switch {
	case errno == unix.EAGAIN:
		from.mark &^= readable
		return unix.EINPROGRESS
	case errno == unix.EINTR:
		return unix.EINPROGRESS // no event was taken in
	case errno != 0: // told only once
		from.mark |= broken
		l.push(s)
		return unix.EINPROGRESS
	case n == 0:
		from.mark |= readable // told again
		return unix.EINPROGRESS
	case n < early && !from.mark.any(chatty|broken|hangup):
		from.mark &^= readable
	default:
		from.mark |= readable
	}
	done, errno := linux.Write(int(to.fd), l.buffer[:n])
	to.mark |= written
	f.moved.Add(int64(done))
	if done < n {
		b.held[client] = slices.Clone(l.buffer[done:n])
		f.pending, f.offset = int32(n-done), 0
	}
	switch {
	case errno == unix.EAGAIN:
		return unix.EINPROGRESS
	case errno == 0 && done < n:
		to.mark |= full
	}
	return errno
}
