package loop

import (
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/relay"
)

// earlySize is how much is read of what a client has sent before its target stands. Should that take time, it is held.
const earlySize = 16 << 10

// takeEarly reads what the client has sent already, if the target is on this machine: hasten is to send it. It is in the
// loop's buffer. It returns nothing if there is nothing, or if hasten would be of no use.
func (l *loop) takeEarly(s *session, b *sessionCold) []byte {
	from, to, f := &s.side[client], &s.side[target], &s.flow[client]
	if !to.mark.has(local) || to.mark.has(ephemeral) || f.pending > 0 || s.paced || b.route.SendProxy != 0 {
		return nil
	}
	n, errno := linux.Receive(int(from.fd), l.buffer[:earlySize])
	switch {
	case errno == unix.EAGAIN:
		from.mark &^= readable
	case errno == unix.EINTR: // no event was taken in
	case errno != 0: // told only once
		from.mark |= broken
		l.push(s)
	case n < earlySize && n > 0 && !from.mark.any(chatty|broken|hangup):
		from.mark &^= readable
	default: // the end is told again
		from.mark |= readable
	}
	return l.buffer[:n]
}

// holdEarly keeps what was taken and not sent, for when a target stands.
func (l *loop) holdEarly(s *session, b *sessionCold, early []byte) {
	if f := &s.flow[client]; len(early) > 0 {
		b.held[client] = slices.Clone(early)
		f.pending, f.offset = int32(len(early)), 0
	}
}

// hasten sends what the client has sent already to a target that is being connected to. Such a connection mostly stands by
// the time that connect(2) has returned, and to write is to find that out: a short session is spared a wait. The session
// is connecting then, or beyond that; an error is the end of the attempt.
func (l *loop) hasten(s *session, b *sessionCold, early []byte) error {
	to := &s.side[target]
	done, errno := linux.Write(int(to.fd), early)
	to.mark |= written
	s.flow[client].moved.Add(int64(done))
	l.holdEarly(s, b, early[done:])
	switch errno {
	case 0:
		if done < len(early) {
			if err := l.awaitRoom(s, target); err != nil {
				l.end(s, relay.Internal, err)
				return nil
			}
		}
		l.established(s, target)
	case unix.EAGAIN, unix.EINTR: // it does not stand yet
		to.mark = to.mark&^answered | watchesOut
		if err := l.registerAgain(s, target); err != nil {
			l.hangUp(to)
			return err
		}
		s.state = connecting
		l.rearm(s)
	case unix.ECONNRESET, unix.EPIPE:
		l.wasReset(s, target, errno)
	default:
		l.hangUp(to)
		return os.NewSyscallError("connect", errno)
	}
	return nil
}
