package loop

import (
	"context"
	"errors"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/target"
)

// dialName connects to a target of which only the name is known, outside of the loop.
func (l *loop) dialName(s *session, b *beside, t *target.Target) {
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	s.state = connecting
	l.rearm(s)
	id, generation := s.id, s.generation
	l.engine.lookups.Go(func() {
		fd, err := dialName(ctx, t.Name)
		l.inbox.post(func() {
			if ctx.Err() != nil {
				if err == nil {
					linux.Abort(fd)
				}
				return
			}
			cancel()
			l.dialled(l.slab.find(id, generation), fd, err)
		})
	})
}

// dialled is called with what dialName gave; it was not stopped.
func (l *loop) dialled(s *session, fd int, err error) {
	b := l.slab.besideOf(s)
	b.cancel = nil
	if err == nil {
		s.side[upstream] = side{fd: int32(fd), mark: answered}
		err = l.watch(s, upstream)
	}
	if err != nil {
		l.refused(s, upstream, err)
		return
	}
	s.side[client].mark |= readable
	l.established(s, upstream)
}

func (b *beside) stopDialling() {
	if b.cancel != nil {
		b.cancel()
		b.cancel = nil
	}
}

func dialName(ctx context.Context, name string) (fd int, err error) {
	dialer := net.Dialer{KeepAlive: -1}
	dialer.SetMultipathTCP(false)
	conn, err := dialer.DialContext(ctx, "tcp", name)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err
		}
		return -1, err
	}
	defer conn.Close()
	err = linux.Control(conn, func(own int) error {
		fd, err = unix.FcntlInt(uintptr(own), unix.F_DUPFD_CLOEXEC, 0)
		return os.NewSyscallError("fcntl F_DUPFD_CLOEXEC", err)
	})
	return fd, err
}
