package loop

import (
	"time"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/relay/session"
)

// keepaliveAfter is the age at which the target's socket is given its keepalive. Before, it would be of no use: the
// shortest is a second. Short sessions are spared four calls.
const keepaliveAfter = 250 * time.Millisecond

// rearm sets the session's timer to the earliest moment at which something may be due. Bytes that move put that off, which
// is found out when the timer fires.
func (l *loop) rearm(s *sessionHot) {
	c := l.cold(s)
	at := c.Deadline(&l.standstill)
	if s.Phase == session.Relaying {
		if !s.keepaliveSet {
			at = min(at, s.Connected()+int64(keepaliveAfter))
		}
		if s.paced {
			at = min(at, c.pace.earliest())
		}
	}
	if at == session.Never {
		l.reactor.Disarm(s.id)
		return
	}
	l.reactor.Arm(s.id, at)
}

// due is called when the session's timer fires.
func (l *loop) due(s *sessionHot) {
	c := l.cold(s)
	if s.Phase == session.Relaying {
		l.dueRelaying(s)
	}
	due := c.Due(l.now, &l.standstill)
	if due != session.DueNothing && due != session.DueMaxDuration && !l.confirm(s, due) {
		return
	}
	switch due {
	case session.DueNothing:
		l.rearm(s)
	case session.DueRace:
		l.race(s)
	case session.DueConnect:
		l.connectFailed(s, target, c.NoAnswer())
	default:
		l.do(s, c.OnDue(due))
	}
}

// dueRelaying does what only this engine puts off: the target's keepalive, and flows that wait for their rate.
func (l *loop) dueRelaying(s *sessionHot) {
	c := l.cold(s)
	if s.paced {
		l.resume(s, c.pace)
	}
	if !s.keepaliveSet && l.now >= s.Connected()+int64(keepaliveAfter) {
		s.keepaliveSet = true
		// It fails only on a socket that is broken, which an event reports.
		_ = linux.SetKeepalive(int(s.side[target].fd), c.Route().Keepalive)
	}
}

// confirm looks at the session's sockets and reports whether what is due still is. If not, the session has gone on or has
// ended.
func (l *loop) confirm(s *sessionHot, due session.Due) bool {
	if !l.look(s) {
		return false
	}
	c := l.cold(s)
	if due == session.DueQuiet {
		s.Moved(max(s.LastMoved(), l.now-int64(l.quiet(s))))
	}
	if c.Due(l.now, &l.standstill) != due {
		l.rearm(s)
		return false
	}
	return true
}

// quiet is how long no byte has moved and no side has finished. A flow that waits for its rate is not quiet. What the loop
// itself has moved last may still be on its way out of the kernel, or something on its way in: the kernel knows, for TCP.
func (l *loop) quiet(s *sessionHot) time.Duration {
	if s.paced && l.cold(s).pace.earliest() != session.Never {
		return 0
	}
	quiet := time.Duration(l.now - s.LastMoved())
	for i := range s.side[:racing] {
		if x := &s.side[i]; !x.mark.has(isUnix) {
			if q, err := linux.QuietFD(int(x.fd)); err == nil {
				quiet = min(quiet, q)
			}
		}
	}
	return quiet
}
