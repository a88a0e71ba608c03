package loop

import (
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/relay/session"
)

// earlySize is how much is read of what a client has sent before its target is connected, in bytes. It is held if the
// connect takes time.
const earlySize = 16 << 10

// takeEarly reads what the client has sent already, if the target is on this machine, for sendEarly. It is in the loop's
// buffer. It returns nothing if there is nothing, or if sendEarly would be of no use.
func (l *loop) takeEarly(s *sessionHot) []byte {
	from, to, f := &s.side[client], &s.side[target], &s.flow[client]
	if !to.mark.has(local) || to.mark.has(ephemeral) || f.pending > 0 || s.paced || l.cold(s).Route().SendProxy != 0 {
		return nil
	}
	n, errno := linux.Receive(int(from.fd), l.buffer[:earlySize])
	switch {
	case errno == unix.EAGAIN:
		from.mark &^= readable
	case errno == unix.EINTR: // no event was taken in
	case errno != 0: // reported only once
		from.mark |= broken
		l.push(s)
	case n < earlySize && n > 0 && !from.mark.any(readUntilEAGAIN|broken|peerFIN):
		from.mark &^= readable
	default: // recv(2) reports the end again
		from.mark |= readable
	}
	return l.buffer[:n]
}

// holdEarly keeps what was taken and not sent, until a target is connected.
func (l *loop) holdEarly(s *sessionHot, early []byte) {
	if f := &s.flow[client]; len(early) > 0 {
		l.cold(s).held[client] = slices.Clone(early)
		f.pending, f.offset = int32(len(early)), 0
	}
}

// sendEarly sends what the client has sent already to a target that is being connected to, and registers its socket before.
// A connection over loopback is mostly established by the time that connect(2) has returned, and sending finds that out:
// a short session is spared a turn. Nothing is sent before the socket is registered: after an error, the next target gets
// all of it.
func (l *loop) sendEarly(s *sessionHot, early []byte) error {
	to := &s.side[target]
	to.mark |= answered // mostly; it is registered as one that is connected
	if err := l.register(s, target); err != nil {
		l.holdEarly(s, early)
		to.drop()
		return err
	}
	done, errno := linux.Write(int(to.fd), early)
	to.mark |= written
	s.flow[client].moved += int64(done)
	l.holdEarly(s, early[done:])
	switch {
	case errno == 0:
		if done < len(early) {
			if err := l.awaitRoom(s, target); err != nil {
				l.do(s, l.cold(s).End(relay.Internal, err))
				return nil
			}
		}
		l.connected(s, target)
	case errno == unix.EAGAIN, errno == unix.EINTR: // not connected yet
		to.mark = to.mark&^answered | watchesOut
		if err := l.registerAgain(s, target); err != nil {
			to.drop()
			return err
		}
		l.rearm(s)
	case session.WasReset(errno):
		l.connectReset(s, target, os.NewSyscallError("connect", errno))
	default:
		to.drop()
		return os.NewSyscallError("connect", errno)
	}
	return nil
}
