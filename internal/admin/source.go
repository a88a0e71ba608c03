package admin

import (
	"container/list"
	"net"
	"net/netip"
)

// A source is where guests come from: an IPv4 address, an IPv6 /64, or, all together, those of a unix socket. What
// follows is guarded by lobby.mu.
type source struct {
	key      netip.Prefix
	guests   int
	regulars int
	pace     *pace         // of its requests
	idle     *list.Element // in sources.idle, while it has no guest
}

// mostSources is how many sources without a guest are remembered, for their pace.
const mostSources = 256

// sources are those that have guests, and those that had some last.
type sources struct {
	known map[netip.Prefix]*source
	idle  list.List // of *source, the one that lost its last guest first in front
}

func sourceKey(conn net.Conn) netip.Prefix {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip, bits := tcp.AddrPort().Addr().Unmap().WithZone(""), 32
	if ip.Is6() {
		bits = 64
	}
	key, _ := ip.Prefix(bits) // those are bits that it has
	return key
}

// enter counts a guest of the source in.
func (s *sources) enter(key netip.Prefix) *source {
	x := s.known[key]
	if x == nil {
		x = &source{key: key, pace: newPace(sourceRate)}
		if !key.IsValid() {
			x.pace = newPace(doorRate) // there is no other source
		}
		s.known[key] = x
	}
	if x.idle != nil {
		s.idle.Remove(x.idle)
		x.idle = nil
	}
	x.guests++
	return x
}

// leave counts one out.
func (s *sources) leave(x *source) {
	if x.guests--; x.guests > 0 {
		return
	}
	x.idle = s.idle.PushBack(x)
	if s.idle.Len() > mostSources {
		delete(s.known, s.idle.Remove(s.idle.Front()).(*source).key)
	}
}
