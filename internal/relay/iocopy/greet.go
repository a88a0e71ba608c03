package iocopy

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/proxyproto"
	"tcp-proxy/internal/relay"
)

// admit finds out who the client is and asks whether it may come in. It reports false if the session is over.
func (s *session) admit() bool {
	peer := addressOf(s.client.RemoteAddr())
	if !s.client.unix && !peer.IsValid() {
		s.end(relay.Internal, relay.ErrNoPeer)
		return false
	}
	if !s.meet() {
		return false
	}
	s.names = proxyproto.Header{Source: peer, Destination: addressOf(s.client.LocalAddr()), Local: s.client.unix}
	if s.route.WantsHeader(peer.Addr()) && !s.greet() {
		return false
	}
	return s.enter(s.names.Source.Addr())
}

// enter asks the app's gate for the client. It reports false if the session is over. Before a client is refused for the
// number of sessions, those that have ended give back their places.
func (s *session) enter(client netip.Addr) bool {
	cause, decided := s.approach.Knock(client)
	if !decided {
		s.engine.endings.await(s.route.App, s.ctx.Done())
		cause = s.approach.Admit(client)
	}
	if cause != "" {
		s.end(cause, nil)
		return false
	}
	s.count()
	return true
}

// count has the session, which was let in, looked at by others whom it may be in the way of.
func (s *session) count() {
	if !s.route.Gate.Counts() {
		return
	}
	e := s.engine.endings.add(s.route.App)
	s.engine.endings.watch(e, ofClient, s.client.raw)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending = e
	if s.over {
		s.engine.endings.over(e)
	}
}

// greet takes the PROXY header with which the client begins, and nothing of what comes behind it.
func (s *session) greet() bool {
	header, headerErr, err := s.awaitHeader()
	switch {
	case err != nil: // the session is over
		return false
	case headerErr != nil && linux.Broken(s.client.raw):
		s.end(relay.ClientReset, errBroken)
		return false
	}
	var names proxyproto.Header
	if headerErr == nil {
		names, headerErr = proxyproto.Parse(header)
	}
	if headerErr != nil {
		s.end(relay.ProxyHeader, headerErr)
		return false
	}
	s.client.header = int64(len(header))
	if !names.Local {
		s.record.Peer = s.record.Client
		s.record.Client = names.Source.String()
		s.names = names
	}
	return true
}

// awaitHeader waits for the header, whose error is headerErr; or gives the error of waiting, after which the session is over.
func (s *session) awaitHeader() (header []byte, headerErr, err error) {
	const ordinary = 256 // bytes: most headers are shorter
	buffer, kept := make([]byte, ordinary), []byte(nil)
	take := func(fd uintptr) bool {
		header, headerErr = relay.TakeHeader(int(fd), buffer, &kept)
		return header != nil || headerErr != nil
	}
	limit := s.route.ProxyTimeout
	if limit <= 0 {
		err = s.client.raw.Read(take)
		return header, headerErr, err
	}
	defer s.client.SetReadDeadline(time.Time{})
	for patience := (timeout{limit: limit, due: s.begun.Add(limit)}); ; {
		s.client.SetReadDeadline(patience.due)
		if err = s.client.raw.Read(take); !errors.Is(err, os.ErrDeadlineExceeded) {
			return header, headerErr, err
		}
		// Read did not look whether it is there.
		found := false
		if err = s.client.raw.Control(func(fd uintptr) { found = take(fd) }); found || err != nil {
			return header, headerErr, err
		}
		if patience.again() == 0 {
			return nil, s.route.HeaderOverdue(), nil
		}
	}
}

// introduce sends the target the PROXY header, in one write and before anything else. It reports false if the session is
// over.
func (s *session) introduce() bool {
	if s.route.SendProxy == 0 {
		return true
	}
	header, err := s.route.AppendHeader(nil, s.names)
	if err != nil {
		s.end(relay.Internal, err)
		return false
	}
	s.mu.Lock()
	s.target.own += int64(len(header))
	s.mu.Unlock()
	_, err = s.target.Write(header)
	switch {
	case err == nil:
		return true
	case linux.Broken(s.target.raw) || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET):
		s.end(relay.TargetReset, err)
	default:
		s.end(relay.Internal, err)
	}
	return false
}

// addressOf gives a TCP address, as it was when the connection was accepted; that of a unix socket is not valid, nor one
// that the kernel has not told.
func addressOf(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	addr := tcp.AddrPort()
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
}
