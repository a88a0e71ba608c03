package admit

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

func prefixes(texts ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

func TestNetworks(t *testing.T) {
	n := NewNetworks(prefixes("10.0.0.0/8", "10.1.0.0/16", "192.168.1.77/32", "192.168.1.78/31", "203.0.113.0/25", "203.0.113.128/25",
		"2001:db8::/32", "fe80::/10", "::1/128", "255.255.255.255/32"))
	for text, want := range map[string]bool{
		"10.0.0.0": true, "10.255.255.255": true, "9.255.255.255": false, "11.0.0.0": false, "10.1.2.3": true,
		"192.168.1.76": false, "192.168.1.77": true, "192.168.1.79": true, "192.168.1.80": false,
		"203.0.113.127": true, "203.0.113.128": true, "203.0.114.0": false,
		"255.255.255.255": true, "255.255.255.254": false, "0.0.0.0": false,
		"2001:db8::": true, "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff": true, "2001:db9::": false, "2001:db7:ffff::": false,
		"::": false, "::1": true, "::2": false, "fe80::1%eth0": true, "fec0::1%eth0": false, "::1%lo": true,
		"::ffff:10.1.2.3": true, "::ffff:11.1.2.3": false, "::10.1.2.3": false,
	} {
		if got := n.Contains(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s is in: %v", text, got)
		}
	}
	all := NewNetworks(prefixes("0.0.0.0/0"))
	if !all.Contains(netip.MustParseAddr("255.255.255.255")) || all.Contains(netip.MustParseAddr("::")) || all.Contains(netip.MustParseAddr("ffff::")) {
		t.Error("0.0.0.0/0 is not all of IPv4 and nothing else")
	}
	six := NewNetworks(prefixes("::/0"))
	if !six.Contains(netip.MustParseAddr("ffff::")) || six.Contains(netip.MustParseAddr("1.2.3.4")) {
		t.Error("::/0 is not all of IPv6 and nothing else")
	}
	if none := NewNetworks(nil); !none.Empty() || none.Contains(netip.MustParseAddr("1.2.3.4")) || none.Contains(netip.Addr{}) {
		t.Error("an address is in the empty set")
	}
}

// An address is in the set exactly if it is in one of the networks; the addresses at their edges are tried above all.
func TestNetworksAreTheirPrefixes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 2000 {
		var list []netip.Prefix
		for range random.IntN(30) {
			list = append(list, randomPrefix(random))
		}
		n := NewNetworks(list)
		var ask []netip.Addr
		for _, p := range list {
			ask = append(ask, p.Addr(), p.Masked().Addr(), p.Masked().Addr().Prev(), lastOf(p), lastOf(p).Next(), randomPrefix(random).Addr())
		}
		for _, a := range ask {
			if !a.IsValid() {
				continue
			}
			want := slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
			if got := n.Contains(a); got != want {
				t.Fatalf("round %d: %v in %v: %v", round, a, list, got)
			}
		}
	}
}

// randomPrefix returns one of few prefixes, so that many touch and overlap.
func randomPrefix(random *rand.Rand) netip.Prefix {
	bits := random.Uint32() & 0x0700_0003
	if random.IntN(2) == 0 {
		a := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, bits)))
		return netip.PrefixFrom(a, []int{0, 5, 6, 7, 8, 16, 24, 30, 31, 32}[1+random.IntN(9)])
	}
	var b [16]byte
	binary.BigEndian.PutUint32(b[:], bits)
	binary.BigEndian.PutUint32(b[12:], random.Uint32()&3)
	return netip.PrefixFrom(netip.AddrFrom16(b), []int{5, 6, 8, 32, 64, 126, 127, 128}[random.IntN(8)])
}

func BenchmarkNetworks(b *testing.B) {
	for _, size := range []int{1, 100, 1000, 10_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			random := rand.New(rand.NewPCG(1, 2))
			address := func() netip.Addr {
				return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, random.Uint32())))
			}
			var list []netip.Prefix
			for range size {
				list = append(list, netip.PrefixFrom(address(), 24))
			}
			n := NewNetworks(list)
			ask := make([]netip.Addr, 1024)
			for i := range ask {
				ask[i] = address()
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				n.Contains(ask[i&1023])
				i++
			}
		})
	}
}
