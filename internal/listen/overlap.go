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

// A configuration may ask for a TCP port that has addresses in common with one that it gives up: "5001" instead of
// "127.0.0.1:5001", or the other way round. Clients of the common addresses must not be refused meanwhile:
//
//   - The same address in other words: the socket that is open serves the new port.
//   - The new port has more addresses: it gets a socket beside the one that is open, which serves the new port too. The
//     kernel gives a connection to the socket with the more specific address.
//   - The new port has fewer addresses: it gets a socket, and the one that is open is closed after Grace, when no
//     connection to the common addresses can be waiting at it any more.

// Grace is how long a socket that MakesWay stays open beside the new one: the time that connections which were begun with
// it take to come through. Nothing else is prepared meanwhile: another socket of the same address would share its
// connections.
const Grace = 250 * time.Millisecond

// stale returns the open TCP sockets that the plan gives up unless a new port uses them, by port number. Inherited
// sockets are not among them: they stay open.
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

// takeOver has a stale socket of the same address serve a port. It reports false if there is none.
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

// openBeside makes a socket for a port, beside the stale sockets that have addresses in common with it.
func (p *Plan) openBeside(index int, asked config.Port, stale []Socket) (net.Listener, error) {
	l, err := p.wanted.Options.open(asked, false)
	if errors.Is(err, unix.EADDRINUSE) && makeRoom(asked, stale) {
		if l, err = p.wanted.Options.open(asked, true); err == nil {
			p.absorb(index, asked, stale)
		}
	}
	return l, err
}

// makeRoom lets a new socket of a port listen beside the stale ones that have addresses in common with it. It reports
// false if there are none.
func makeRoom(asked config.Port, stale []Socket) bool {
	room := false
	for _, x := range stale {
		if asked.Network == "tcp" && (covers(x.Port.Addr, asked.Addr) || covers(asked.Addr, x.Port.Addr)) {
			room = x.Control(linux.SetReusePort) == nil || room
		}
	}
	return room
}

// absorb has the stale sockets serve a port that has all their addresses.
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

// MakesWay reports whether an open socket that the plan gives up has an address that a new one has: it is closed after
// Grace, and not at once.
func (p *Plan) MakesWay(open Key) bool {
	old := p.open[open].Port
	for _, n := range p.New {
		if n.Key.Network == "tcp" && old.Network == "tcp" && covers(old.Addr, n.Key.Addr) {
			return true
		}
	}
	return false
}

// covers reports whether a socket that listens at a takes every connection to b.
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
