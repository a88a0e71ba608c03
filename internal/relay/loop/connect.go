package loop

import (
	"errors"
	"math"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/upstream"
)

// How many connects may fail at once before others have their turn: of one session, and of all sessions of a loop. A
// connect fails at once where there is no way to the target, or nobody listens on this machine.
const (
	attemptsInARow  = 4
	attemptsPerTurn = 32
)

// choose has the session try the targets that are left, one after another.
func (l *loop) choose(s *session) {
	s.state = choosing
	s.until, s.alone = never, never
	l.stepChoose(s)
}

// stepChoose takes the session to the next target that is left to try, until one answers, the answer has to be waited for,
// or others are to have their turn. If all are full, it waits for a place; if none is left, it ends.
func (l *loop) stepChoose(s *session) {
	if s.side[client].mark.has(broken) {
		l.end(s, relay.ClientReset, errBroken)
		return
	}
	b := l.sessions.cold(s)
	for range attemptsInARow {
		if l.attempts <= 0 {
			break
		}
		t, cause, err := b.approach.Next()
		switch {
		case t != nil:
		case cause != "":
			l.attempts -= attemptsInARow // to see that none of many is left takes as long
			l.end(s, cause, err)
			return
		default:
			l.attempts--
			l.awaitPlace(s, b)
			return
		}
		if err = l.try(s, b, target, t); err == nil {
			return
		}
		l.attempts--
		b.target[target] = nil
		b.approach.Failed(t, err)
	}
	s.until, s.alone = never, never
	l.rearm(s)
	l.push(s)
}

// awaitPlace has the session wait for a place on a target.
func (l *loop) awaitPlace(s *session, b *sessionCold) {
	s.state = awaiting
	s.until, s.alone = l.patienceOf(b), never
	l.rearm(s)
	key := l.sessions.key(s)
	b.approach.Await(func() {
		l.reactor.Post(func() {
			if s := l.sessions.Find(key); s != nil && s.state == awaiting && b.approach.Granted() {
				l.choose(s)
			}
		})
	})
}

// patienceOf is when an attempt that begins now is given up.
func (l *loop) patienceOf(b *sessionCold) int64 {
	if limit := b.route.ConnectTimeout; limit > 0 {
		return l.engine.clock() + int64(limit)
	}
	return never
}

// try begins to connect a side to a target: the session is connecting then, or beyond that. An error is the end of the
// attempt.
func (l *loop) try(s *session, b *sessionCold, n int, t *upstream.Target) error {
	b.target[n] = t
	until := l.patienceOf(b)
	if n == racing {
		s.rivalUntil = until
	} else {
		s.until, s.alone = until, never
		if b.approach.MayRival(t) {
			s.alone = l.engine.clock() + int64(relay.RivalAfter)
		}
	}
	if t.Path != "" {
		size, err := linux.SockaddrUnix(&l.target, t.Path)
		if err != nil {
			return err
		}
		return l.connect(s, b, n, unix.AF_UNIX, size, isUnix|chatty)
	}
	family, size, err := linux.Sockaddr(&l.target, t.Addr)
	if err != nil {
		return err
	}
	return l.connect(s, b, n, family, size, l.marksOf(t.Addr))
}

// marksOf is what matters of the address that is connected to.
func (l *loop) marksOf(to netip.AddrPort) (mark marks) {
	if to.Port() >= l.engine.ephemeral {
		mark |= ephemeral
	}
	if to.Addr().IsLoopback() {
		mark |= local
	}
	return mark
}

// connect connects a side to the first size bytes of l.target.
func (l *loop) connect(s *session, b *sessionCold, n, family, size int, mark marks) error {
	fd, errno := linux.Socket(family)
	if errno != 0 {
		return os.NewSyscallError("socket", errno)
	}
	x := &s.side[n]
	*x = side{fd: int32(fd), mark: mark}
	linux.Inline(fd)
	if family != unix.AF_UNIX {
		if err := b.route.BindSource(fd, b.target[n].Addr.Addr()); err != nil {
			l.hangUp(x)
			return err
		}
	}
	errno = linux.Connect(fd, &l.target, size)
	var early []byte
	switch errno {
	case 0:
		s.side[client].mark |= readable // there may be something
		x.mark |= answered
	case unix.EINPROGRESS:
		if n == target {
			early = l.takeEarly(s, b)
		}
	default:
		l.hangUp(x)
		return os.NewSyscallError("connect", errno)
	}
	if b.approach.Notes() && family != unix.AF_UNIX {
		if local, err := linux.LocalAddr(fd); err == nil {
			b.approach.Dialled(b.target[n], local)
		}
	}
	if len(early) > 0 {
		x.mark |= answered // mostly; it is registered as what stands
	}
	if err := l.register(s, n); err != nil { // nothing was sent yet: the next target gets it all
		l.holdEarly(s, b, early)
		l.hangUp(x)
		return err
	}
	if len(early) > 0 {
		return l.hasten(s, b, early)
	}
	if errno == 0 {
		l.established(s, n)
		return nil
	}
	s.state = connecting
	l.rearm(s)
	return nil
}

// stepConnect looks what has happened to a session that has no target yet.
func (l *loop) stepConnect(s *session) {
	if s.side[client].mark.has(broken) {
		l.end(s, relay.ClientReset, errBroken)
		return
	}
	for s.state == connecting {
		switch {
		case s.side[target].mark.has(answered):
			l.hear(s, target)
		case s.side[racing].mark.has(answered):
			l.hear(s, racing)
		default:
			return
		}
	}
}

// hear takes in what became of the connect of a side.
func (l *loop) hear(s *session, n int) {
	switch errno := l.answer(&s.side[n]); errno {
	case 0:
		l.established(s, n)
	case unix.ECONNRESET, unix.EPIPE:
		l.wasReset(s, n, errno)
	default:
		l.refused(s, n, os.NewSyscallError("connect", errno))
	}
}

// answer is what became of a connect.
func (l *loop) answer(x *side) syscall.Errno {
	switch {
	case x.mark.has(broken):
		return linux.Outcome(int(x.fd))
	case x.mark.has(ephemeral) && linux.MetItself(int(x.fd)):
		return unix.ECONNREFUSED
	}
	return 0
}

// wasReset ends a session whose target was connected, and reset before it was looked at: a connect that is answered with
// a reset is refused (tcp_reset() in the kernel's net/ipv4/tcp_input.c).
func (l *loop) wasReset(s *session, n int, errno syscall.Errno) {
	l.stands(s, n)
	l.end(s, relay.TargetReset, os.NewSyscallError("connect", errno))
}

// refused says that the connect of a side has failed. The session goes on with the other that is under way, or with the
// next target.
func (l *loop) refused(s *session, n int, err error) {
	b := l.sessions.cold(s)
	t := b.target[n]
	b.target[n] = nil
	l.hangUp(&s.side[n])
	b.approach.Failed(t, err)
	switch {
	case n == racing:
		s.rivalUntil = never
	case b.target[racing] == nil:
		l.choose(s)
		return
	default:
		if err := l.promote(s, b); err != nil {
			l.end(s, relay.Internal, err)
			return
		}
	}
	s.alone = l.engine.clock() + int64(relay.RivalAfter)
	l.rearm(s)
}

// oppose tries a rival beside the target that has not answered yet.
func (l *loop) oppose(s *session, b *sessionCold) {
	s.alone = never
	t := b.approach.Rival(b.target[target])
	if t == nil {
		l.rearm(s)
		return
	}
	if err := l.try(s, b, racing, t); err != nil {
		l.refused(s, racing, err)
	}
}

// promote has the rival take the place of the target, which is given up. What events have said of its socket goes with
// it, and what they say from now on is about its new place.
func (l *loop) promote(s *session, b *sessionCold) error {
	s.side[target], s.side[racing] = s.side[racing], side{fd: -1}
	b.target[target], b.target[racing] = b.target[racing], nil
	s.until, s.rivalUntil = s.rivalUntil, never
	return l.registerAgain(s, target)
}

// overdue is called when the moment of a session without a target has come.
func (l *loop) overdue(s *session) {
	if l.now < min(s.until, s.alone) {
		l.rearm(s)
		return
	}
	if !l.look(s) {
		return
	}
	b := l.sessions.cold(s)
	switch {
	case l.now >= l.believed(s.until, s.attempt(b.route)):
		l.late(s, b)
	case l.now >= s.alone:
		l.oppose(s, b)
	default:
		l.rearm(s)
	}
}

// attempt is how long what the session waits for may take, before its target stands.
func (s *session) attempt(r *relay.Route) time.Duration {
	if s.state == greeting {
		return r.ProxyTimeout
	}
	return r.ConnectTimeout
}

// late is called when what the session waits for has not come in time.
func (l *loop) late(s *session, b *sessionCold) {
	switch s.state {
	case greeting:
		l.end(s, relay.ProxyHeader, b.route.HeaderOverdue())
	case awaiting:
		if b.approach.Granted() { // the order that says so is on its way
			l.choose(s)
			return
		}
		cause, err := b.approach.GiveUp()
		l.end(s, cause, err)
	default:
		l.refused(s, target, upstream.NoAnswer(b.route.ConnectTimeout))
	}
}

// established says that the connection of a side to its target stands, and moves what there is already. The session may
// be over then.
func (l *loop) established(s *session, n int) {
	if err := l.stands(s, n); err != nil {
		l.end(s, relay.Internal, err)
		return
	}
	if b := l.sessions.cold(s); b.route.SendProxy != 0 && !l.introduce(s, b) {
		return
	}
	l.stepRelay(s)
}

// stands says that the connection of a side to its target stands, or did. What is tried beside it is given up.
func (l *loop) stands(s *session, n int) (err error) {
	b := l.sessions.cold(s)
	if other := target + racing - n; b.target[other] != nil {
		x := &s.side[other]
		silent := !x.mark.has(answered)
		l.hangUp(x)
		if n == racing && silent {
			b.approach.Overtaken(b.target[other])
		} else {
			b.approach.Abandoned(b.target[other])
		}
		b.target[other] = nil
	}
	if n == racing {
		err = l.promote(s, b)
	}
	now := l.engine.clock()
	took := time.Duration(0)
	if s.until != never {
		took = time.Duration(now-s.until) + b.route.ConnectTimeout
	}
	b.approach.Connected(b.target[target], took)
	s.state = relaying
	s.connected, s.moved = now, now
	s.brief = 0
	x := &s.side[target]
	x.mark &^= answered
	s.option = x.mark.has(isUnix) || !b.route.Keepalive.Enabled
	l.rearm(s)
	return err
}

// never is a moment that does not come.
const never = math.MaxInt64

var errBroken = errors.New("connection reset by the peer or timed out by the kernel")
