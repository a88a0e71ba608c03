package iocopy

import (
	"net/netip"

	"tcp-proxy/internal/relay"
)

// meet sees whether the client is the proxy itself, and the session one of a circle. It reports false if it is: the session
// is over then. A connection is noted when Go has it, which is a little after the kernel has; so the session looks again
// once it has one of its own.
func (s *session) meet() bool {
	peer := addressOf(s.client.RemoteAddr())
	ip := peer.Addr().WithZone("")
	if !s.approach.Near(ip) {
		return true
	}
	var cause relay.Cause
	var err error
	_ = s.client.raw.Control(func(fd uintptr) { // or the session is over already
		cause, err = s.approach.Meet(netip.AddrPortFrom(ip, peer.Port()), int(fd))
	})
	if cause != "" {
		s.end(cause, err)
		return false
	}
	return true
}
