package session

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/proxyproto"
	"tcp-proxy/internal/relay"
)

// OnAccept reports who has connected: the peer, not valid on a unix socket, and the descriptor of the connection. A TCP
// peer whose address the kernel does not report ends the session (relay.ErrNoPeer).
func (s *Session) OnAccept(peer netip.AddrPort, unixSocket bool, fd int) Action {
	if s.Ended() {
		return Abort
	}
	if !unixSocket && !peer.IsValid() {
		return s.End(relay.Internal, relay.ErrNoPeer)
	}
	if action := s.CheckCircle(peer, fd); action == Abort {
		return action
	}
	s.client = withoutZone(peer.Addr())
	if !s.route.WantsHeader(s.client) {
		return s.admit()
	}
	s.state.Phase = Header
	if limit := s.route.ProxyTimeout; limit > 0 {
		s.state.until = s.state.begun + int64(limit)
	}
	return ReadHeader
}

func withoutZone(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// CheckCircle recognises a connection that the proxy itself has made, which has come back to an app that it has come
// through before: that ends the session. Every session is checked by OnAccept. An engine that reports its own connects late
// (OnDialled) checks again once it has one.
func (s *Session) CheckCircle(peer netip.AddrPort, fd int) Action {
	own := s.events.Own
	if own == nil || !peer.IsValid() {
		return Wait
	}
	peer = netip.AddrPortFrom(withoutZone(peer.Addr()), peer.Port())
	if !own.FromHere(peer.Addr()) {
		return Wait
	}
	if s.origin == nil {
		s.origin = &relay.Origin{}
	}
	s.fromHere = true
	circle := own.Accepted(s.origin, s.route.App, peer, fd)
	if circle == nil {
		return Wait
	}
	s.events.LoopDetected(circle.Route, circle.Target)
	return s.End(relay.LoopDetected, fmt.Errorf("the connection comes from this proxy itself: app %q connected to %s, which leads back to app %q",
		circle.Route.App, circle.Target.Name, s.route.App))
}

// OnHeader reports the client's PROXY header, or the error of reading it, which is one of relay.TakeHeader. broken says
// that the connection is reset or was given up by the kernel.
func (s *Session) OnHeader(header []byte, err error, broken bool) Action {
	if s.Ended() {
		return Abort
	}
	var errno syscall.Errno
	switch {
	case err != nil && broken:
		return s.End(relay.ClientReset, ErrBroken)
	case errors.As(err, &errno):
		return s.End(relay.ClientReset, os.NewSyscallError("recv", errno))
	case err != nil:
		return s.End(relay.ProxyHeader, err)
	}
	names, err := proxyproto.Parse(header)
	if err != nil {
		return s.End(relay.ProxyHeader, err)
	}
	if !names.Local {
		s.header = &names
		s.client = withoutZone(names.Source.Addr())
	}
	s.state.until = Never
	return s.admit()
}

// admit asks the app's gate. If only the number of sessions is in the way, those that have ended in the kernel are to be
// taken in first: a client that has seen the end of its last session must not be refused because of it.
func (s *Session) admit() Action {
	refusal := s.route.Gate.TryEnter(s.client)
	if refusal.ByNumber() {
		s.state.Phase = Recounting
		return Recount
	}
	return s.decide(refusal)
}

// OnRecount reports that the sessions which had ended at the time of Recount have given back their slots. The gate is
// asked again, for the last time.
func (s *Session) OnRecount() Action {
	if s.Ended() {
		return Abort
	}
	return s.decide(s.route.Gate.Enter(s.client))
}

func (s *Session) decide(refusal admit.Refusal) Action {
	s.refused = refusal
	switch refusal {
	case "":
		s.admitted = true
		s.state.Phase = Choosing
		return Connect
	case admit.Denied:
		return s.End(relay.Denied, nil)
	}
	return s.End(relay.Limited, nil)
}

// AppendTargetHeader appends the PROXY header that is sent to the target: what the client's own header says, or else
// accepted, which gives the addresses of the accepted connection (Local: a unix socket).
func (s *Session) AppendTargetHeader(b []byte, accepted func() (proxyproto.Header, error)) ([]byte, error) {
	if s.header != nil {
		return s.route.AppendHeader(b, *s.header)
	}
	names, err := accepted()
	if err != nil {
		return nil, err
	}
	return s.route.AppendHeader(b, names)
}

var errShortHeader = errors.New("the target did not take the whole PROXY header")

// OnHeaderSent reports how many of the bytes of the target's PROXY header were written, and the error of making it or of
// writing it. broken says that the connection is reset or was given up by the kernel.
func (s *Session) OnHeaderSent(written, length int, err error, broken bool) Action {
	switch {
	case s.Ended():
		return Abort
	case err != nil && (broken || isReset(err)):
		return s.End(relay.TargetReset, err)
	case err != nil:
		return s.End(relay.Internal, err)
	case written < length:
		return s.End(relay.Internal, errShortHeader)
	}
	return Relay
}

// isReset reports whether the error of a call means that the other end has reset the connection.
func isReset(err error) bool { return errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) }
