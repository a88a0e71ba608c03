package loop

import (
	"os"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/relay/session"
)

// How much a flow may move before the other sessions of its loop have their turn, in bytes.
const turnBudget = 1 << 20

// outcome is what follows a step of a flow.
type outcome uint8

const (
	goOn  outcome = iota // there may be more to do
	wait                 // an event will tell when there is
	yield                // there is more to do, after the others
	over                 // the session has ended
)

// stepRelay moves what can be moved, both ways.
func (l *loop) stepRelay(s *sessionHot) {
	up := l.pump(s, client)
	if up == over {
		return
	}
	down := l.pump(s, target)
	if down == over {
		return
	}
	for i := range s.side[:racing] {
		if s.side[i].mark.has(broken) && l.stepBroken(s, i) {
			return
		}
	}
	if up == yield || down == yield {
		l.push(s)
	}
}

// pump moves bytes from a side to the other, at most turnBudget.
func (l *loop) pump(s *sessionHot, d int) outcome {
	if s.paced {
		return l.pumpPaced(s, d)
	}
	budget := turnBudget
	return l.move(s, d, &budget)
}

// move moves bytes from a side to the other until there are no more, the other is full, or the budget is used up. If the side
// has finished, it passes that on.
func (l *loop) move(s *sessionHot, d int, budget *int) outcome {
	for {
		from, to, f := &s.side[d], &s.side[1-d], &s.flow[d]
		if f.pending > 0 {
			if to.mark.has(full) {
				return wait
			}
			if did := l.flush(s, d); did != goOn {
				return did
			}
		}
		switch {
		case from.mark.has(passedOn):
			return wait
		case from.mark.has(finished):
			return l.passOn(s, d)
		case !from.mark.has(readable), to.mark.has(full):
			return wait
		case *budget <= 0:
			return yield
		}
		did := goOn
		if f.streak < spliceAfter {
			did = l.copy(s, d, budget)
		} else {
			did = l.splice(s, d, budget)
		}
		if did != goOn {
			return did
		}
	}
}

// copy reads into the loop's buffer and writes from there. What the other side does not take is held.
func (l *loop) copy(s *sessionHot, d int, budget *int) outcome {
	from, f := &s.side[d], &s.flow[d]
	p := l.buffer
	if s.paced {
		p = p[:min(len(p), *budget)]
	}
	n, errno := linux.Receive(int(from.fd), p)
	switch {
	case errno == unix.EAGAIN:
		from.mark &^= readable
		return wait
	case errno == unix.EINTR:
		return goOn
	case errno != 0:
		return l.broke(s, d, os.NewSyscallError("recv", errno))
	case n == 0:
		return l.readEnd(s, d)
	case n == len(p):
		f.streak++
	default:
		f.streak = 0
		if !from.mark.any(readUntilEAGAIN | broken) {
			// A short read: all bytes were read. Next comes nothing, or FIN if it has arrived.
			from.mark &^= readable
			if from.mark.has(peerFIN) {
				from.mark |= finished
			}
		}
	}
	*budget -= n
	done, did := l.write(s, d, p[:n])
	if did == over {
		return over
	}
	if done < n {
		return l.hold(s, d, p[done:n])
	}
	return did
}

// readEnd is called when recv(2) returns 0: the side has sent FIN, or it is broken and an earlier call has fetched its error.
func (l *loop) readEnd(s *sessionHot, d int) outcome {
	if s.side[d].mark.has(broken) {
		return l.broke(s, d, session.ErrBroken)
	}
	s.side[d].mark |= finished
	return goOn
}

// write writes to the side that d goes to and returns how many bytes were taken. If not all were, an event reports when there
// is room.
func (l *loop) write(s *sessionHot, d int, p []byte) (int, outcome) {
	to, f := &s.side[1-d], &s.flow[d]
	setNoDelay(to)
	n, errno := linux.Write(int(to.fd), p)
	for errno == unix.EINTR {
		n, errno = linux.Write(int(to.fd), p)
	}
	switch errno {
	case 0, unix.EAGAIN:
	default:
		return 0, l.broke(s, 1-d, os.NewSyscallError("write", errno))
	}
	if n > 0 {
		f.moved += int64(n)
		s.Moved(l.now)
	}
	if n == len(p) {
		return n, goOn
	}
	if err := l.awaitRoom(s, 1-d); err != nil {
		l.do(s, l.cold(s).End(relay.Internal, err))
		return n, over
	}
	return n, wait
}

// setNoDelay turns Nagle's algorithm off before the second write to a target: the first has nothing to wait for, and many
// a session has no second. Clients inherit it from their listener.
func setNoDelay(to *side) {
	switch {
	case to.mark.any(noDelay | isUnix):
	case to.mark.has(written):
		linux.NoDelay(int(to.fd))
		to.mark |= noDelay
	default:
		to.mark |= written
	}
}

// flush writes the pending bytes of a flow. The other side has room.
func (l *loop) flush(s *sessionHot, d int) outcome {
	f := &s.flow[d]
	if f.pipe != 0 {
		return l.drainPipe(s, d)
	}
	c := l.cold(s)
	rest := c.held[d][f.offset : f.offset+f.pending]
	n, did := l.write(s, d, rest)
	if did == over {
		return over
	}
	f.offset += int32(n)
	f.pending -= int32(n)
	if f.pending == 0 {
		l.giveBuffer(c.held[d])
		c.held[d], f.offset = nil, 0
	}
	return did
}

// hold keeps what was read and not written. Nothing more is read until it is written.
func (l *loop) hold(s *sessionHot, d int, rest []byte) outcome {
	f := &s.flow[d]
	l.cold(s).held[d] = append(l.takeBuffer(), rest...)
	f.pending, f.offset = int32(len(rest)), 0
	return wait
}

// passOn passes the FIN of a side on, all bytes of which were written to the other.
func (l *loop) passOn(s *sessionHot, d int) outcome {
	from, to := &s.side[d], &s.side[1-d]
	from.mark |= passedOn
	if action := l.cold(s).OnFinished(d, l.now); action != session.Wait {
		l.do(s, action)
		return over
	}
	if errno := linux.CloseWrite(int(to.fd)); errno != 0 && !to.mark.has(isUnix) {
		return l.broke(s, 1-d, os.NewSyscallError("shutdown", errno))
	}
	l.rearm(s)
	return wait
}

// broke ends the session for a side whose socket gave an error.
func (l *loop) broke(s *sessionHot, side int, err error) outcome {
	l.do(s, l.cold(s).OnReset(side, err))
	return over
}

// stepBroken is called after an event has said that a side is broken and all was moved that can be. It reports whether it
// ended the session.
func (l *loop) stepBroken(s *sessionHot, side int) bool {
	drained := s.side[side].mark.has(finished) && s.flow[side].pending == 0
	action := l.cold(s).OnBroken(side, drained, l.now)
	l.do(s, action)
	return action != session.Wait
}

// startRelaying prepares a session whose target is connected.
func (l *loop) startRelaying(s *sessionHot) {
	c, x := l.cold(s), &s.side[target]
	x.mark &^= answered
	s.keepaliveSet = x.mark.has(isUnix) || !c.Route().Keepalive.Enabled
	if s.paced {
		c.pace = newPace(c.Route())
	}
}
