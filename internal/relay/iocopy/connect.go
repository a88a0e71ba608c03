package iocopy

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/target"
)

// connect tries targets until one answers, and returns it, with a place that is then the caller's to release. It
// returns nil if the session is over before that, or ends it if no target is left to try.
func (s *session) connect() *target.Target {
	defer func() { s.record.Connect = time.Since(s.begun) }()
	for {
		t, cause, err := s.approach.Next()
		if t == nil {
			s.end(cause, err)
			return nil
		}
		conn, err := s.dial(t)
		switch {
		case s.ctx.Err() != nil:
			if err == nil {
				newSide(conn, relay.TargetReset, relay.TargetClosed).abort()
			}
			s.approach.Abandoned(t)
			return nil
		case errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE):
			// Who refuses a connection gives ECONNREFUSED: this one stood, and was reset before it was looked at.
			s.approach.Connected(t)
			t.Release()
			s.end(relay.TargetReset, err)
			return nil
		case err != nil:
			s.approach.Failed(t, err)
		default:
			s.approach.Connected(t)
			s.established(newSide(conn, relay.TargetReset, relay.TargetClosed))
			return t
		}
	}
}

func (s *session) dial(t *target.Target) (stream, error) {
	ctx := s.ctx
	if limit := s.route.ConnectTimeout; limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, target.NoAnswer(limit))
		defer cancel()
	}
	k := s.route.Keepalive
	dialer := net.Dialer{KeepAlive: -1}
	if k.Enabled {
		dialer.KeepAliveConfig = net.KeepAliveConfig{Enable: true, Idle: k.Idle, Interval: k.Interval, Count: k.Count}
	}
	dialer.SetMultipathTCP(false)
	dialer.Control = resetOnClose
	address := t.Name
	if t.Address.Network == "unix" {
		address = t.Address.Path
	}
	conn, err := dialer.DialContext(ctx, t.Address.Network, address)
	if err != nil {
		var op *net.OpError
		switch {
		case ctx.Err() != nil:
			err = context.Cause(ctx)
		case errors.As(err, &op):
			err = op.Err // the rest, the session says in its own words
		}
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(-1) // fails only if the connection is broken, which the pumps will see
	}
	return conn.(stream), nil
}

// resetOnClose has a connection that the dialer gives up reset, should it stand already (socket(7), SO_LINGER): the
// session that it was for is over, and its client was reset as well.
func resetOnClose(network, _ string, c syscall.RawConn) error {
	if network == "unix" {
		return nil
	}
	var optErr error
	err := c.Control(func(fd uintptr) {
		optErr = unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	})
	return errors.Join(err, os.NewSyscallError("setsockopt SO_LINGER", optErr))
}

// established takes the target connection into the session. If the session is over, it is reset like the client was.
func (s *session) established(x *side) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.target = x
	s.moved = time.Now()
	if s.over {
		x.abort()
	}
}
