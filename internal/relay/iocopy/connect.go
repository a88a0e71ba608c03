package iocopy

import (
	"context"
	"fmt"
	"net"
	"time"

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
				conn.Close()
			}
			s.approach.Abandoned(t)
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
		ctx, cancel = context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %v", limit))
		defer cancel()
	}
	k := s.route.Keepalive
	dialer := net.Dialer{KeepAlive: -1}
	if k.Enabled {
		dialer.KeepAliveConfig = net.KeepAliveConfig{Enable: true, Idle: k.Idle, Interval: k.Interval, Count: k.Count}
	}
	dialer.SetMultipathTCP(false)
	address := t.Name
	if t.Address.Network == "unix" {
		address = t.Address.Path
	}
	conn, err := dialer.DialContext(ctx, t.Address.Network, address)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	return conn.(stream), nil
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
