package enginetest

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/upstream"
)

func TestSourceAddress(t *testing.T) {
	from := netip.MustParseAddr("127.0.0.77")
	eachTCP(t, func(r *relay.Route) { r.SourceAddress = from }, func(r *rig) {
		client, server := r.session()
		r.exchange(client, server, 10)
		if got := server.RemoteAddr().(*net.TCPAddr).AddrPort().Addr(); got != from {
			r.Errorf("the target is connected to from %v, want %v", got, from)
		}
		r.finish(client, server)
	})
}

// An address that is not this machine's, or not of the target's family, says nothing of the target.
func TestSourceAddressThatCannotBeHad(t *testing.T) {
	eachEngine(t, func(t *testing.T, e engine) {
		for _, from := range []string{"192.0.2.1", "::1"} {
			t.Run(from, func(t *testing.T) {
				r := newRig(t, e, "tcp", "tcp", func(r *relay.Route) { r.SourceAddress = netip.MustParseAddr(from) })
				r.refused()
				rec := r.expectCause(relay.Internal)
				if rec.Err == nil || !strings.Contains(rec.Err.Error(), "from "+from) {
					r.Errorf("%v", rec.Err)
				}
				if x := r.targets()[0]; x.State() != upstream.Alive {
					r.Errorf("the target is %s", x.State())
				}
			})
		}
	})
}

// A unix socket has no address to come from.
func TestSourceAddressToUnix(t *testing.T) {
	eachEngine(t, func(t *testing.T, e engine) {
		r := newRig(t, e, "tcp", "unix", func(r *relay.Route) { r.SourceAddress = netip.MustParseAddr("127.0.0.77") })
		client, server := r.session()
		r.exchange(client, server, 10)
		r.finish(client, server)
	})
}
