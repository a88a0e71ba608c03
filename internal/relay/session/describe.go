package session

import (
	"net/netip"

	"tcp-proxy/internal/relay"
)

// Describe fills in what the session knows of itself, which has not ended. peer is who has connected.
func (s *Session) Describe(d *relay.OpenSession, peer netip.AddrPort) {
	d.ID, d.Route, d.Progress, d.Client, d.Peer = s.id, s.route, s.progress(), peer, peer
	if s.header != nil {
		d.Client = s.header.Source
	}
	for side := Target; side <= Racing && d.Target == nil; side++ {
		d.Target = s.Target(side)
	}
}

// progress is the phase in the words of users.
func (s *Session) progress() relay.Progress {
	switch s.state.Phase {
	case Header:
		return relay.AwaitsHeader
	case Recounting:
		return relay.Admission
	case Waiting:
		return relay.AwaitsSlot
	case Relaying:
		if s.state.first != 0 {
			return relay.HalfClosed
		}
		return relay.Established
	}
	return relay.Connecting
}
