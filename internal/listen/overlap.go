package listen

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/linux"
)

// A new TCP port may have addresses in common with a port that the configuration no longer has: "5001" instead of
// "127.0.0.1:5001", or the reverse. Clients of the common addresses must not be refused during the change:
//
//   - If both have the same addresses, the open socket serves the new port.
//   - If the new port has more addresses, it gets a socket beside the open one, which serves the new port too. The kernel
//     gives a connection to the socket with the more specific address.
//   - If the new port has fewer addresses, it gets a socket, and the open one is closed after Grace, when no connection to
//     the common addresses can be in its backlog any more.

// Grace is the time that a socket for which MakesWay is true stays open beside the new one: connections whose handshake began
// with it are accepted. Nothing else is prepared meanwhile, since another socket of the same address would get a part of
// its connections.
const Grace = 250 * time.Millisecond

// stale returns the open TCP sockets that the new configuration does not have, by port number. They are closed unless a new
// port uses them. Inherited sockets are not among them: they stay open.
func (p *Plan) stale() map[uint16][]Socket {
	stale := map[uint16][]Socket{}
	for key, open := range p.open {
		if _, wanted := p.ports[key]; !wanted && open.Port.Network == "tcp" && len(p.inherited(open.Port)) == 0 {
			number := open.Port.Addr.Port()
			stale[number] = append(stale[number], open)
		}
	}
	return stale
}

// takeOver makes a stale socket with the same addresses serve a port. It reports false if there is none.
func (p *Plan) takeOver(index int, asked config.Port, stale []Socket) bool {
	for _, x := range stale {
		if asked.Network == "tcp" && !p.moved(x) && covers(x.Port.Addr, asked.Addr) && covers(asked.Addr, x.Port.Addr) {
			p.moves[x.Key] = Key{asked, 0}
			p.absorb(index, asked, stale)
			return true
		}
	}
	return false
}

// openBeside makes a socket for a port, if necessary beside stale sockets that have addresses in common with it.
func (p *Plan) openBeside(index int, asked config.Port, stale []Socket) (net.Listener, error) {
	l, err := p.wanted.Options.open(asked, false)
	if errors.Is(err, unix.EADDRINUSE) && makeRoom(asked, stale) {
		if l, err = p.wanted.Options.open(asked, true); err == nil {
			p.absorb(index, asked, stale)
		}
	}
	return l, err
}

// makeRoom sets SO_REUSEPORT on the stale sockets that have addresses in common with a port, so that a new socket can listen
// beside them. It reports false if there are none.
func makeRoom(asked config.Port, stale []Socket) bool {
	room := false
	for _, x := range stale {
		if asked.Network == "tcp" && (covers(x.Port.Addr, asked.Addr) || covers(asked.Addr, x.Port.Addr)) {
			room = x.Control(linux.SetReusePort) == nil || room
		}
	}
	return room
}

// absorb makes the stale sockets serve a port that has all their addresses.
func (p *Plan) absorb(index int, asked config.Port, stale []Socket) {
	n := 1
	for _, x := range stale {
		if !p.moved(x) && covers(asked.Addr, x.Port.Addr) {
			p.moves[x.Key] = Key{asked, n}
			p.ports[Key{asked, n}] = index
			n++
		}
	}
}

func (p *Plan) moved(x Socket) bool {
	_, ok := p.moves[x.Key]
	return ok
}

// MakesWay reports whether an open socket that is to be closed has all addresses of a new one. It is then closed after Grace,
// not at once.
func (p *Plan) MakesWay(open Key) bool {
	old := p.open[open].Port
	for _, n := range p.New {
		if n.Key.Network == "tcp" && old.Network == "tcp" && covers(old.Addr, n.Key.Addr) {
			return true
		}
	}
	return false
}

// covers reports whether a socket that listens at a gets every connection to b.
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
