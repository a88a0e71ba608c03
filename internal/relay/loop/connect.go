package loop

import (
	"context"
	"errors"
	"math"
	"net/netip"
	"os"
	"reflect"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/target"
)

// choose takes the session to the next target that is left to try, until one answers or the answer has to be waited
// for; or ends it, if none is left.
func (l *loop) choose(s *session) {
	b := l.slab.besideOf(s)
	for {
		t, cause, err := b.approach.Next()
		if t == nil {
			l.end(s, cause, err)
			return
		}
		b.target = t
		if err = l.try(s, b, t); err == nil {
			return
		}
		l.failed(b, err)
	}
}

// failed says that the target of this attempt cannot be had.
func (l *loop) failed(b *beside, err error) {
	t := b.target
	b.target, b.addresses, b.refused = nil, nil, nil
	b.approach.Failed(t, err)
}

// try begins the attempt at a target. An error is the end of it.
func (l *loop) try(s *session, b *beside, t *target.Target) error {
	now := l.engine.clock()
	s.address, s.attempt = 0, never
	if limit := b.route.ConnectTimeout; limit > 0 {
		s.attempt = now + int64(limit)
	}
	s.brief = s.attempt
	if t.Address.Network == "unix" {
		return l.dialUnix(s, t.Address.Path)
	}
	if ip, err := netip.ParseAddr(t.Address.Host); err == nil && ip.Zone() == "" {
		return l.dial(s, netip.AddrPortFrom(ip, t.Address.Port))
	}
	l.resolve(s, b, t)
	return nil
}

// dial connects to an address: the session is relaying then, or connecting.
func (l *loop) dial(s *session, to netip.AddrPort) error {
	family, size, err := sockaddr(&l.target, to)
	if err != nil {
		return err
	}
	mark := marks(0)
	if to.Port() >= l.engine.ephemeral {
		mark = ephemeral
	}
	if to.Addr().IsLoopback() {
		mark |= local
	}
	return l.connect(s, family, size, mark)
}

func (l *loop) dialUnix(s *session, path string) error {
	size, err := sockaddrUnix(&l.target, path)
	if err != nil {
		return err
	}
	return l.connect(s, unix.AF_UNIX, size, isUnix|chatty)
}

// connect connects to the first size bytes of l.target.
func (l *loop) connect(s *session, family, size int, mark marks) error {
	fd, errno := linux.Socket(family)
	if errno != 0 {
		return os.NewSyscallError("socket", errno)
	}
	x := &s.side[upstream]
	*x = side{fd: int32(fd), mark: mark}
	errno = linux.Connect(fd, &l.target, size)
	switch errno {
	case 0:
		s.side[client].mark |= readable // there may be something
	case unix.EINPROGRESS:
		errno = l.hasten(s)
	}
	switch errno {
	case 0:
		x.mark |= answered
	case unix.EINPROGRESS:
	case unix.ECONNRESET, unix.EPIPE:
		l.wasReset(s, errno)
		return nil
	default:
		l.hangUp(x)
		return os.NewSyscallError("connect", errno)
	}
	if err := l.watch(s, upstream); err != nil {
		l.hangUp(x)
		return err
	}
	if errno == 0 {
		l.established(s)
		return nil
	}
	s.state = connecting
	if s.brief != never {
		l.wheel.arm(s, s.brief)
	}
	return nil
}

// stepConnect looks what has happened to a session that has no target yet.
func (l *loop) stepConnect(s *session) {
	switch {
	case s.side[client].mark.has(broken):
		l.end(s, relay.ClientReset, errBroken)
	case s.state == connecting && s.side[upstream].mark.has(answered):
		switch err := l.answer(s); err {
		case nil:
			l.established(s)
		case unix.ECONNRESET, unix.EPIPE:
			l.wasReset(s, err)
		default:
			l.refused(s, os.NewSyscallError("connect", err))
		}
	}
}

// answer is what became of a connect.
func (l *loop) answer(s *session) error {
	x := &s.side[upstream]
	if x.mark.has(broken) {
		errno, err := unix.GetsockoptInt(int(x.fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if err != nil || errno == 0 {
			return err
		}
		return unix.Errno(errno)
	}
	if x.mark.has(ephemeral) && metItself(int(x.fd)) {
		return unix.ECONNREFUSED
	}
	return nil
}

// wasReset ends a session whose target was connected, and reset before it was looked at: a connect that is answered with
// a reset is refused (tcp_reset() in the kernel's net/ipv4/tcp_input.c).
func (l *loop) wasReset(s *session, err error) {
	l.stands(s)
	l.end(s, relay.TargetReset, os.NewSyscallError("connect", err))
}

// metItself reports whether a socket is connected to itself: the kernel does that when nobody listens on a local port
// and it happens to choose that very port for the connection.
func metItself(fd int) bool {
	local, err := unix.Getsockname(fd)
	if err != nil {
		return false
	}
	remote, err := unix.Getpeername(fd)
	return err == nil && reflect.DeepEqual(local, remote)
}

// refused says that this address cannot be had: the next of the same name is tried, or the next target.
func (l *loop) refused(s *session, err error) {
	b := l.slab.besideOf(s)
	l.hangUp(&s.side[upstream])
	if b.refused == nil {
		b.refused = err
	}
	s.address++
	if l.nextAddress(s, b) {
		return
	}
	l.failed(b, b.firstRefusal(err))
	l.choose(s)
}

// nextAddress connects to what is left of the addresses of the target's name. It reports false if none could be
// tried. The time that the attempt has left is shared among them.
func (l *loop) nextAddress(s *session, b *beside) bool {
	for ; int(s.address) < len(b.addresses); s.address++ {
		now := l.engine.clock()
		if now >= s.attempt {
			return false
		}
		if s.attempt != never {
			share := (s.attempt - now) / int64(len(b.addresses)-int(s.address))
			s.brief = min(s.attempt, now+max(share, int64(leastShare)))
		}
		err := l.dial(s, b.addresses[s.address])
		if err == nil {
			return true
		}
		if b.refused == nil {
			b.refused = err
		}
	}
	return false
}

// leastShare is the least time that one address of several is given, if the attempt has that long.
const leastShare = 2 * time.Second

// overdue is called when the moment of a session without a target has come.
func (l *loop) overdue(s *session) {
	b := l.slab.besideOf(s)
	err := target.NoAnswer(b.route.ConnectTimeout)
	if l.now < s.attempt {
		l.refused(s, err)
		return
	}
	l.stopResolving(b)
	l.hangUp(&s.side[upstream])
	l.failed(b, err)
	l.choose(s)
}

// established says that the connection to the target stands, and moves what there is already. The session may be over
// then.
func (l *loop) established(s *session) {
	l.stands(s)
	l.stepRelay(s)
}

// stands says that the connection to the target stands, or did.
func (l *loop) stands(s *session) {
	b := l.slab.besideOf(s)
	b.approach.Connected(b.target)
	b.addresses, b.refused = nil, nil
	now := l.engine.clock()
	s.state = relaying
	s.connected, s.moved = now, now
	s.brief = 0
	x := &s.side[upstream]
	x.mark &^= answered
	s.option = x.mark.has(isUnix) || !b.route.Keepalive.Enabled
	l.rearm(s)
}

// resolve looks up the target's name outside of the loop.
func (l *loop) resolve(s *session, b *beside, t *target.Target) {
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	s.state = resolving
	if s.attempt != never {
		l.wheel.arm(s, s.attempt)
	}
	id, generation := s.id, s.generation
	l.engine.lookups.Go(func() {
		addresses, err := lookUp(ctx, t.Address.Host, t.Address.Port)
		l.inbox.post(func() {
			if ctx.Err() == nil {
				cancel()
				l.resolved(l.slab.find(id, generation), addresses, err)
			}
		})
	})
}

// resolved is called with what a lookup gave; it was not stopped.
func (l *loop) resolved(s *session, addresses []netip.AddrPort, err error) {
	b := l.slab.besideOf(s)
	b.cancel = nil
	b.addresses, s.address = addresses, 0
	if err == nil && l.nextAddress(s, b) {
		return
	}
	l.failed(b, b.firstRefusal(err))
	l.choose(s)
}

func (l *loop) stopResolving(b *beside) {
	if b.cancel != nil {
		b.cancel()
		b.cancel = nil
	}
}

// firstRefusal is the error of the first address that was tried, or else err.
func (b *beside) firstRefusal(err error) error {
	if b.refused != nil {
		return b.refused
	}
	return err
}

// never is a moment that does not come.
const never = math.MaxInt64

var errBroken = errors.New("connection reset by peer, or given up by the kernel")
