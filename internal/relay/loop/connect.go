package loop

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/relay/session"
	"tcp-proxy/internal/upstream"
)

// How many connects may fail at once before others have their turn: of one session, and of all sessions of a loop. A
// connect fails at once where there is no route to the target, or nobody listens on this machine.
const (
	attemptsInARow  = 4
	attemptsPerTurn = 32
)

// pick connects the session to the next target. Of targets that fail at once it tries a few, and the others in a later
// turn.
func (l *loop) pick(s *sessionHot) {
	c := l.cold(s)
	for range attemptsInARow {
		if l.attempts <= 0 {
			break
		}
		t, action := c.Pick(l.engine.clock())
		if action != session.Connect {
			l.attempts--
			if action == session.Abort {
				l.attempts -= attemptsInARow // finding that none of many is left takes as long
			}
			l.do(s, action)
			return
		}
		err := l.connect(s, target, t)
		if err == nil {
			return
		}
		l.attempts--
		c.OnConnectFailed(target, err, l.engine.clock())
	}
	l.rearm(s)
	l.push(s)
}

// awaitSlot waits for a slot on a target.
func (l *loop) awaitSlot(s *sessionHot) {
	key := l.sessions.key(s)
	l.cold(s).Await(l.engine.clock(), func() {
		l.reactor.Post(func() {
			if s := l.sessions.Find(key); s != nil {
				l.do(s, l.cold(s).OnGranted())
			}
		})
	})
	l.rearm(s)
}

// connect begins to connect a side to a target. The session is connecting then, or beyond that. After an error the side
// has no socket, and nothing of what the client has sent is lost.
func (l *loop) connect(s *sessionHot, n int, t *upstream.Target) error {
	family, size, mark, err := l.locate(t)
	if err != nil {
		return err
	}
	fd, errno := linux.Socket(family)
	if errno != 0 {
		return os.NewSyscallError("socket", errno)
	}
	c, x := l.cold(s), &s.side[n]
	*x = side{fd: int32(fd), mark: mark}
	linux.Inline(fd)
	if family != unix.AF_UNIX {
		if err := c.Route().BindSource(fd, t.Addr.Addr()); err != nil {
			x.drop()
			return err
		}
	}
	errno = linux.Connect(fd, &l.address, size)
	if errno != 0 && errno != unix.EINPROGRESS {
		x.drop()
		return os.NewSyscallError("connect", errno)
	}
	if c.FromHere() && family != unix.AF_UNIX {
		if local, err := linux.LocalAddr(fd); err == nil {
			c.OnDialled(n, local)
		}
	}
	if errno == 0 {
		s.side[client].mark |= readable // there may be something
		x.mark |= answered
		return l.registerConnected(s, n)
	}
	if n == target {
		if early := l.takeEarly(s); len(early) > 0 {
			return l.sendEarly(s, early)
		}
	}
	if err := l.register(s, n); err != nil {
		x.drop()
		return err
	}
	l.rearm(s)
	return nil
}

// registerConnected goes on with a side whose connect has succeeded at once.
func (l *loop) registerConnected(s *sessionHot, n int) error {
	if err := l.register(s, n); err != nil {
		s.side[n].drop()
		return err
	}
	l.connected(s, n)
	return nil
}

// locate writes the address of a target to l.address, and gives its family, its size, and what it says of the socket.
func (l *loop) locate(t *upstream.Target) (family, size int, mark marks, err error) {
	if t.Path != "" {
		size, err = linux.SockaddrUnix(&l.address, t.Path)
		return unix.AF_UNIX, size, isUnix | readUntilEAGAIN, err
	}
	if t.Addr.Port() >= l.engine.ephemeral {
		mark |= ephemeral
	}
	if t.Addr.Addr().IsLoopback() {
		mark |= local
	}
	family, size, err = linux.Sockaddr(&l.address, t.Addr)
	return family, size, mark, err
}

// stepConnect takes in what events have said of the connects of a session.
func (l *loop) stepConnect(s *sessionHot) {
	for s.Phase == session.Connecting {
		switch {
		case s.side[target].mark.has(answered):
			l.connectAnswered(s, target)
		case s.side[racing].mark.has(answered):
			l.connectAnswered(s, racing)
		default:
			return
		}
	}
}

// connectAnswered takes in the outcome of a side's connect, of which there was an event.
func (l *loop) connectAnswered(s *sessionHot, n int) {
	switch errno := s.side[n].connectOutcome(); {
	case errno == 0:
		l.connected(s, n)
	case session.WasReset(errno):
		l.connectReset(s, n, os.NewSyscallError("connect", errno))
	default:
		l.connectFailed(s, n, os.NewSyscallError("connect", errno))
	}
}

func (x *side) connectOutcome() syscall.Errno {
	switch {
	case x.mark.has(broken):
		return linux.Outcome(int(x.fd))
	case x.mark.has(ephemeral) && linux.MetItself(int(x.fd)):
		return unix.ECONNREFUSED
	}
	return 0
}

// connected goes on with a session whose connect to a side is established. The session may have ended then.
func (l *loop) connected(s *sessionHot, n int) {
	c := l.cold(s)
	action := c.OnConnected(n, l.closeOther(s, n), l.engine.clock())
	if n == racing {
		if err := l.promote(s); err != nil {
			action = c.End(relay.Internal, err)
		}
	}
	l.startRelaying(s)
	l.do(s, action)
}

// connectReset ends a session whose target was connected and has reset the connection before the loop looked at it.
func (l *loop) connectReset(s *sessionHot, n int, err error) {
	l.do(s, l.cold(s).OnConnectReset(n, err, l.closeOther(s, n), l.engine.clock()))
}

// closeOther closes the socket of the attempt that a side's attempt has beaten, if there is a race, and reports whether it
// had no answer yet.
func (l *loop) closeOther(s *sessionHot, n int) (silent bool) {
	if !l.cold(s).RaceIsOn() {
		return false
	}
	x := &s.side[target+racing-n]
	silent = !x.mark.has(answered)
	x.drop()
	return silent
}

// connectFailed closes the socket of a side whose connect has failed. The session goes on with the other attempt, or with
// the next target.
func (l *loop) connectFailed(s *sessionHot, n int, err error) {
	s.side[n].drop()
	l.do(s, l.cold(s).OnConnectFailed(n, err, l.engine.clock()))
}

// race connects to another address of the name of the target that has not answered yet.
func (l *loop) race(s *sessionHot) {
	t := l.cold(s).Race(l.engine.clock())
	if t == nil {
		l.rearm(s)
		return
	}
	if err := l.connect(s, racing, t); err != nil {
		l.connectFailed(s, racing, err)
	}
}

// promote makes the socket of the racing attempt the target's. What events have said of it goes with it, and what they say
// from now on is about its new side.
func (l *loop) promote(s *sessionHot) error {
	s.side[target], s.side[racing] = s.side[racing], side{fd: -1}
	return l.registerAgain(s, target)
}

// drop closes the socket of a connect that came to nothing, if there is one. If it is established by now, it is reset.
func (x *side) drop() {
	if x.fd >= 0 {
		linux.Abort(int(x.fd))
	}
	*x = side{fd: -1}
}
