package loop

import (
	"time"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/relay"
)

const (
	// resetGrace is how long what a broken side has sent before may still be passed on.
	resetGrace = 100 * time.Millisecond
	// settled is the age at which the target's socket is given its keepalive. Before, it would be of no use: the
	// shortest is a second. Short sessions are spared four calls.
	settled = 250 * time.Millisecond
)

// limit is how long the session may be quiet now, and the cause it ends with then; 0 is for ever.
func (s *session) limit(r *relay.Route) (time.Duration, relay.Cause) {
	idle, half := r.IdleTimeout, r.HalfCloseTimeout
	if half > 0 && s.first != 0 && (idle == 0 || half < idle) {
		return half, relay.HalfCloseTimeout
	}
	return idle, relay.IdleTimeout
}

// rearm sets the earliest moment at which something may be due for a session. Bytes that move put it off, which is found
// out then.
func (l *loop) rearm(s *session) {
	b := l.sessions.cold(s)
	at := int64(never)
	if limit := b.route.MaxDuration; limit > 0 {
		at = s.begun + int64(limit)
	}
	if s.state == relaying {
		at = min(at, l.nextOf(s, b))
	} else {
		at = min(at, l.believed(s.until, s.attempt(b.route)), s.alone) // a rival's time is over later
	}
	if at == never {
		l.reactor.Disarm(s.id)
		return
	}
	l.reactor.Arm(s.id, at)
}

// nextOf is the earliest moment at which something may be due because of what a session that relays does, or does not.
func (l *loop) nextOf(s *session, b *sessionCold) int64 {
	at := int64(never)
	if !s.option {
		at = s.connected + int64(settled)
	}
	if s.brief != 0 {
		at = min(at, l.believed(s.brief, resetGrace))
	}
	if limit, _ := s.limit(b.route); limit > 0 {
		at = min(at, l.believed(s.moved+int64(limit), limit))
	}
	if s.paced {
		at = min(at, b.pace.earliest())
	}
	return at
}

// due is called when the session's moment has come.
func (l *loop) due(s *session) {
	b := l.sessions.cold(s)
	switch limit := b.route.MaxDuration; {
	case limit > 0 && l.now >= s.begun+int64(limit):
		l.end(s, relay.MaxDuration, nil)
		return
	case s.state != relaying:
		l.overdue(s)
		return
	case s.paced:
		l.resume(s, b.pace)
	}
	if !s.option && l.now >= s.connected+int64(settled) {
		s.option = true
		// It fails only on a socket that is broken, which an event tells.
		_ = linux.SetKeepalive(int(s.side[target].fd), b.route.Keepalive)
	}
	if s.brief != 0 && l.now >= l.believed(s.brief, resetGrace) {
		if !l.look(s) {
			return
		}
		side := client
		if !s.side[client].mark.has(broken) {
			side = target
		}
		l.end(s, reset[side], errBroken)
		return
	}
	if limit, _ := s.limit(b.route); limit > 0 && l.now >= l.believed(s.moved+int64(limit), limit) {
		if !l.look(s) {
			return
		}
		if limit, cause := s.limit(b.route); l.wasQuiet(s, limit) { // a side may have finished
			l.end(s, cause, nil)
			return
		}
	}
	l.rearm(s)
}

// wasQuiet reports whether the session has been quiet for as long as it may.
func (l *loop) wasQuiet(s *session, limit time.Duration) bool {
	s.moved = max(s.moved, l.now-int64(l.quiet(s)))
	return l.now >= s.moved+int64(limit)
}

// quiet is how long no byte has moved and no side has finished. A flow that waits for its rate is not quiet. What the loop
// itself has moved last may still be on its way out of the kernel, or something on its way in: the kernel tells, for TCP.
func (l *loop) quiet(s *session) time.Duration {
	if s.paced && l.sessions.cold(s).pace.earliest() != never {
		return 0
	}
	quiet := time.Duration(l.now - s.moved)
	for i := range s.side[:racing] {
		if x := &s.side[i]; !x.mark.has(isUnix) {
			if q, err := linux.QuietFD(int(x.fd)); err == nil {
				quiet = min(quiet, q)
			}
		}
	}
	return quiet
}
