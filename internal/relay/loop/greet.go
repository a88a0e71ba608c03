package loop

import (
	"errors"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/proxyproto"
	"tcp-proxy/internal/relay"
)

var errShortHeader = errors.New("the target did not take the whole PROXY header")

// greet has the session wait for the PROXY header with which its client is to begin.
func (l *loop) greet(s *session, b *sessionCold) {
	s.state = greeting
	if d := b.route.ProxyTimeout; d > 0 {
		s.until = s.begun + int64(d)
	}
	l.rearm(s)
}

// stepGreet takes the header, if it is there in full, and nothing of what comes behind it.
func (l *loop) stepGreet(s *session) {
	x := &s.side[client]
	switch {
	case x.mark.has(broken):
		l.end(s, relay.ClientReset, errBroken)
		return
	case !x.mark.has(readable):
		return
	}
	b := l.sessions.cold(s)
	header, err := relay.TakeHeader(int(x.fd), l.buffer, &b.held[client])
	if header == nil && err == nil {
		x.mark &^= readable // more to come is an event
		return
	}
	var names proxyproto.Header
	if err == nil {
		names, err = proxyproto.Parse(header)
	}
	switch {
	case err == unix.ECONNRESET:
		l.end(s, relay.ClientReset, os.NewSyscallError("recv", err))
		return
	case err != nil:
		l.end(s, relay.ProxyHeader, err)
		return
	}
	if !names.Local {
		b.header = &names
	}
	s.until, b.held[client] = never, nil
	l.enter(s, b)
}

// introduce sends the target the PROXY header, in one write and before anything else. It reports false if the session is
// over.
func (l *loop) introduce(s *session, b *sessionCold) bool {
	names, err := s.names(b)
	if err != nil {
		l.end(s, relay.Internal, err)
		return false
	}
	header, err := b.route.AppendHeader(l.buffer[:0], names)
	if err != nil {
		l.end(s, relay.Internal, err)
		return false
	}
	x := &s.side[target]
	n, errno := linux.Write(int(x.fd), header)
	for errno == unix.EINTR {
		n, errno = linux.Write(int(x.fd), header)
	}
	x.mark |= written
	switch {
	case errno == unix.ECONNRESET, errno == unix.EPIPE:
		l.end(s, relay.TargetReset, os.NewSyscallError("send", errno))
		return false
	case errno != 0:
		l.end(s, relay.Internal, os.NewSyscallError("send", errno))
		return false
	case n < len(header):
		l.end(s, relay.Internal, errShortHeader)
		return false
	}
	return true
}

// names are what the target is told of the client: what its PROXY header has said, or else the address that came with
// accept, which a reset does not take away, and the one that it has connected to.
func (s *session) names(b *sessionCold) (proxyproto.Header, error) {
	switch {
	case b.header != nil:
		return *b.header, nil
	case s.side[client].mark.has(isUnix):
		return proxyproto.Header{Local: true}, nil
	}
	door, err := linux.LocalAddr(int(s.side[client].fd))
	return proxyproto.Header{Source: netip.AddrPortFrom(s.peerAddr(), s.peerPort), Destination: door}, err
}
