package admin

import (
	"container/list"
	"net"
	"net/netip"

	"golang.org/x/time/rate"
)

// A source is what connections have in common for the limits: an IPv4 address, an IPv6 /64, or a unix socket. Its fields are
// guarded by limiter.mu.
type source struct {
	key      netip.Prefix
	conns    int
	regulars int
	bucket   *rate.Limiter // its requests
	idle     *list.Element // of sources.idle, while it has no connection
}

// maxIdleSources is how many sources without a connection are kept, for their buckets.
const maxIdleSources = 256

// sources are those that have connections, and the last ones that had.
type sources struct {
	known map[netip.Prefix]*source
	idle  list.List // of *source, the longest without a connection first
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
	key, _ := ip.Prefix(bits) // it has as many bits
	return key
}

// enter counts a new connection of a source.
func (s *sources) enter(key netip.Prefix) *source {
	x := s.known[key]
	if x == nil {
		x = &source{key: key, bucket: newBucket(sourceRate)}
		if !key.IsValid() {
			x.bucket = newBucket(addressRate) // there is no other source
		}
		s.known[key] = x
	}
	if x.idle != nil {
		s.idle.Remove(x.idle)
		x.idle = nil
	}
	x.conns++
	return x
}

// leave counts one that is gone.
func (s *sources) leave(x *source) {
	if x.conns--; x.conns > 0 {
		return
	}
	x.idle = s.idle.PushBack(x)
	if s.idle.Len() > maxIdleSources {
		delete(s.known, s.idle.Remove(s.idle.Front()).(*source).key)
	}
}
