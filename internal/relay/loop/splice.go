package loop

import (
	"os"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/relay"
)

// When a flow is spliced: after so many full buffers in a row, until so few bytes come at a time that copying them costs less
// than two more calls.
const (
	spliceAfter = 3
	spliceLeast = 16 << 10 // bytes
)

// splice moves received bytes through a pipe, in the kernel. It copies if there is no pipe, and after urgent data: splice(2)
// stops there, and reports it as the end if the side has finished.
func (l *loop) splice(s *sessionHot, d int, budget *int) outcome {
	from, f := &s.side[d], &s.flow[d]
	if f.pipe == 0 && (from.mark&(readUntilEAGAIN|isUnix) == readUntilEAGAIN || !l.pipes.take(s, d, l.now)) {
		return l.copy(s, d, budget)
	}
	size := pipeSize
	if s.paced {
		size = min(size, *budget)
	}
	n, errno := linux.Splice(int(from.fd), l.pipes.in(f), size)
	if 0 < n && n < spliceLeast {
		f.streak = 0
	}
	switch {
	case errno == unix.EAGAIN: // the pipe is empty, so it is the socket that has no more
		from.mark &^= readable
	case errno == unix.EINTR:
		return goOn
	case errno != 0:
		return l.broke(s, d, os.NewSyscallError("splice", errno))
	}
	if n == 0 {
		l.pipes.give(f)
		if errno == 0 {
			return l.copy(s, d, budget) // which sees the end, if it is
		}
		return goOn
	}
	*budget -= n
	f.pending = int32(n)
	return l.drainPipe(s, d)
}

// drainPipe writes what is in the flow's pipe, and gives the pipe back once it is empty.
func (l *loop) drainPipe(s *sessionHot, d int) outcome {
	to, f := &s.side[1-d], &s.flow[d]
	setNoDelay(to)
	for f.pending > 0 {
		n, errno := linux.Splice(l.pipes.out(f), int(to.fd), int(f.pending))
		switch errno {
		case 0:
			f.pending -= int32(n)
			f.moved += int64(n)
			s.Moved(l.now)
		case unix.EAGAIN:
			l.pipes.stall(f, l.now)
			if err := l.awaitRoom(s, 1-d); err != nil {
				l.do(s, l.cold(s).End(relay.Internal, err))
				return over
			}
			return wait
		case unix.EINTR:
		default:
			return l.broke(s, 1-d, os.NewSyscallError("splice", errno))
		}
	}
	l.pipes.give(f)
	return goOn
}
