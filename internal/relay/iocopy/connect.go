package iocopy

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/upstream"
)

// connect tries targets until one answers. It reports false if the session is over before that, or ends it if no target
// is left to try.
func (s *session) connect() bool {
	for {
		t, cause, err := s.approach.Next()
		switch {
		case t == nil && cause != "":
			s.end(cause, err)
			return false
		case t == nil:
			if !s.await() {
				return false
			}
			continue
		}
		a := s.reach(t)
		switch {
		case s.ctx.Err() != nil:
			s.abandon(a)
			return false
		case a.wasReset():
			s.approach.Connected(a.to, a.took)
			s.end(relay.TargetReset, a.err)
			return false
		case a.err != nil:
			s.approach.Failed(a.to, a.err)
		default:
			if s.approach.Notes() {
				s.approach.Dialled(a.to, addressOf(a.conn.LocalAddr()))
				if !s.meet() {
					s.abandon(a)
					return false
				}
			}
			s.approach.Connected(a.to, a.took)
			s.established(a)
			return true
		}
	}
}

// await waits for a place on a target. It reports false if the session is over before there is one.
func (s *session) await() bool {
	granted := make(chan struct{})
	s.approach.Await(func() { close(granted) })
	patience := newTimeout(s.route.ConnectTimeout)
	overdue := make(<-chan time.Time)
	if patience.limit > 0 {
		overdue = time.After(patience.limit)
	}
	for {
		select {
		case <-granted:
			return true
		case <-s.ctx.Done():
			return false
		case <-overdue:
		}
		if s.approach.Granted() {
			return true
		}
		more := patience.again()
		if more == 0 {
			s.end(s.approach.GiveUp())
			return false
		}
		overdue = time.After(more)
	}
}

// answer is what became of an attempt to connect.
type answer struct {
	to   *upstream.Target
	conn stream // nil if there is an error
	err  error
	took time.Duration
}

// wasReset reports whether the connection stood, and was reset before it was looked at: who refuses one gives
// ECONNREFUSED.
func (a answer) wasReset() bool {
	return errors.Is(a.err, unix.ECONNRESET) || errors.Is(a.err, unix.EPIPE)
}

// abandon gives up a connection that the session has no use for.
func (s *session) abandon(a answer) {
	if a.conn != nil {
		newSide(a.conn, "", "").abort()
	}
	s.approach.Abandoned(a.to)
}

// reach connects to t, and to rivals of it if it takes its time.
func (s *session) reach(t *upstream.Target) answer {
	if !s.approach.MayRival(t) {
		return s.dial(s.ctx, t)
	}
	return s.race(t)
}

// race connects to t and, beside what has been under way alone for a while, to a rival. It returns the first that
// stands, or the last that fails; the others have failed or been abandoned.
func (s *session) race(t *upstream.Target) answer {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	answers := make(chan answer)
	try := func(t *upstream.Target) { answers <- s.dial(ctx, t) }
	running := []*upstream.Target{t}
	go try(t)
	alone := time.NewTimer(relay.RivalAfter)
	defer alone.Stop()
	for {
		select {
		case <-alone.C:
			if rival := s.approach.Rival(running[0]); rival != nil {
				running = append(running, rival)
				go try(rival)
			}
		case a := <-answers:
			if len(running) == 1 {
				return a
			}
			rival := running[1] == a.to
			if !rival {
				running[0] = running[1]
			}
			running = running[:1]
			if over := ctx.Err() != nil; over || a.err == nil || a.wasReset() {
				cancel()
				if other := <-answers; rival && !over && other.conn == nil {
					s.approach.Overtaken(other.to)
				} else {
					s.abandon(other)
				}
				return a
			}
			s.approach.Failed(a.to, a.err)
			alone.Reset(relay.RivalAfter)
		}
	}
}

func (s *session) dial(ctx context.Context, t *upstream.Target) (a answer) {
	a.to = t
	begun := time.Now()
	defer func() { a.took = time.Since(begun) }()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var socket atomic.Pointer[syscall.RawConn] // that the dialer connects
	if limit := s.route.ConnectTimeout; limit > 0 {
		patience := newTimeout(limit)
		var expire func()
		expire = func() {
			more := patience.again()
			if c := socket.Load(); more == 0 && c != nil && answered(*c) {
				more = relay.Chance(limit) // should that connect be the wrong one, the dialer begins another
			}
			switch {
			case ctx.Err() != nil:
			case more > 0:
				time.AfterFunc(more, expire)
			default:
				cancel(upstream.NoAnswer(limit))
			}
		}
		defer time.AfterFunc(limit, expire).Stop()
	}
	k := s.route.Keepalive
	dialer := net.Dialer{KeepAlive: -1}
	if k.Enabled {
		dialer.KeepAliveConfig = net.KeepAliveConfig{Enable: true, Idle: k.Idle, Interval: k.Interval, Count: k.Count}
	}
	dialer.SetMultipathTCP(false)
	dialer.Control = func(network, address string, c syscall.RawConn) error {
		socket.Store(&c)
		return s.prepare(network, address, c)
	}
	network, address := "tcp", t.Addr.String()
	if t.Path != "" {
		network, address = "unix", t.Path
	}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		var op *net.OpError
		switch {
		case ctx.Err() != nil:
			err = context.Cause(ctx)
		case errors.As(err, &op):
			err = op.Err // the rest, the session says in its own words
		}
		a.err = err
		return a
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(-1) // fails only if the connection is broken, which the pumps will see
	}
	a.conn = conn.(stream)
	return a
}

// prepare is called with the socket of a connect before it begins. A connection that the dialer gives up, though it
// stands already, is to be reset (socket(7), SO_LINGER): the session that it was for is over, and its client was reset
// as well.
func (s *session) prepare(network, address string, c syscall.RawConn) error {
	if network == "unix" {
		return c.Control(func(fd uintptr) { linux.Inline(int(fd)) })
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	var optErr error
	err = c.Control(func(fd uintptr) {
		linux.Inline(int(fd))
		err := unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		optErr = errors.Join(os.NewSyscallError("setsockopt SO_LINGER", err), s.route.BindSource(int(fd), to.Addr()))
	})
	return errors.Join(err, optErr)
}

// synLength is what SYN counts for in linux.Acknowledged.
const synLength = 1

// established takes the target connection into the session. If the session is over, it is reset like the client was.
func (s *session) established(a answer) {
	x := newSide(a.conn, relay.TargetReset, relay.TargetClosed)
	x.own = synLength
	s.mu.Lock()
	defer s.mu.Unlock()
	s.target, s.to = x, a.to
	s.moved = time.Now()
	if s.ending != nil {
		s.engine.endings.watch(s.ending, ofTarget, x.raw)
	}
	if s.client.byHand {
		s.client.SetReadDeadline(longAgo)
	}
	if s.over {
		x.abort()
	}
}
