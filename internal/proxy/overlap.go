package proxy

import (
	"net/netip"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/logging"
)

// A TCP port may be asked for that has addresses in common with one that is given up: "5001" instead of
// "127.0.0.1:5001", or the other way round. No client of the common addresses is to be refused meanwhile:
//
//   - The same address, in other words: the socket that is there serves the new port.
//   - The new port has more addresses: it gets a socket beside the one that is there, which serves it too. The kernel
//     gives a connection to the socket with the more specific address.
//   - It has fewer: it gets a socket, and the one that is there is closed when no connection for the common addresses
//     can be waiting at it any more.

// stalePort is a listening socket that a plan gives up, unless another port has use for it.
type stalePort struct {
	key  portKey
	open *port
}

// stale gives the TCP ports that the plan gives up, by their number. Inherited sockets are not given up.
func (p *plan) stale() map[uint16][]stalePort {
	stale := map[uint16][]stalePort{}
	for key, open := range p.server.ports {
		if p.ports[key] == nil && open.at.Network == "tcp" && len(p.server.socketsFor(open.at)) == 0 {
			number := open.at.Addr.Port()
			stale[number] = append(stale[number], stalePort{key, open})
		}
	}
	return stale
}

// takeOver has a stale socket of the same address serve a port. It reports false if there is none.
func (p *plan) takeOver(a *app, asked config.Port, stale []stalePort) bool {
	for _, x := range stale {
		if asked.Network == "tcp" && !p.moved(x) && covers(x.open.at.Addr, asked.Addr) && covers(asked.Addr, x.open.at.Addr) {
			p.moves[x.key] = portKey{asked, 0}
			p.takeIn(a, asked, stale)
			return true
		}
	}
	return false
}

// makeRoom lets a port listen beside the stale ones that have addresses in common with it. It reports false if there
// are none.
func (p *plan) makeRoom(a *app, asked config.Port, stale []stalePort) bool {
	room := false
	for _, x := range stale {
		if asked.Network == "tcp" && (covers(x.open.at.Addr, asked.Addr) || covers(asked.Addr, x.open.at.Addr)) {
			room = p.server.engine.Control(x.open.Port, linux.SetReusePort) == nil || room
		}
	}
	if room {
		p.takeIn(a, asked, stale)
	}
	return room
}

// takeIn has the stale sockets all of whose addresses a port has serve it too.
func (p *plan) takeIn(a *app, asked config.Port, stale []stalePort) {
	n := 1
	for _, x := range stale {
		if !p.moved(x) && covers(asked.Addr, x.open.at.Addr) {
			p.moves[x.key] = portKey{asked, n}
			p.ports[portKey{asked, n}] = a
			n++
		}
	}
}

func (p *plan) moved(x stalePort) bool {
	_, ok := p.moves[x.key]
	return ok
}

// makesWay reports whether a port that is given up has an address that a new one has.
func (p *plan) makesWay(old *port) bool {
	for _, fresh := range p.opened {
		if fresh.at.Network == "tcp" && old.at.Network == "tcp" && covers(old.at.Addr, fresh.at.Addr) {
			return true
		}
	}
	return false
}

// lastCall is how long a socket that makes way is open beside the one that comes: what it takes for connections that
// were begun with it to come through.
const lastCall = 250 * time.Millisecond

// retire closes a port after that, or when the server stops. Until then nothing is prepared: another socket that came
// to share its address would share its connections.
func (s *Server) retire(old *port) {
	s.leaving.Go(func() {
		select {
		case <-time.After(lastCall):
		case <-s.stopping.Done():
		}
		if err := s.close(old); err != nil {
			s.log.Warn("closing a removed port failed", logging.Fields{logging.ErrorKey: err})
		}
	})
}

// covers reports whether a socket that listens at a has every connection to b.
func covers(a, b netip.AddrPort) bool {
	switch ip := a.Addr(); {
	case a.Port() != b.Port():
		return false
	case !ip.IsValid() || ip == netip.IPv6Unspecified():
		return true
	case ip == netip.IPv4Unspecified():
		return b.Addr().Is4()
	default:
		return ip == b.Addr()
	}
}
