package relay

import (
	"net/netip"
	"testing"
)

func TestFromHere(t *testing.T) {
	var o Own
	remote, mine := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	if o.FromHere(remote) || o.FromHere(mine) || !o.FromHere(netip.MustParseAddr("127.1.2.3")) || !o.FromHere(netip.IPv6Loopback()) {
		t.Error("only loopback is here")
	}
	o.SetMachine(map[netip.Addr]bool{mine: true})
	if o.FromHere(remote) || !o.FromHere(mine) {
		t.Error("the addresses of this machine are here, and no others")
	}
}
