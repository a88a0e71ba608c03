package config

import (
	"net/netip"
	"slices"
	"testing"
)

func TestNetworks(t *testing.T) {
	if n := (Networks{}); !n.Empty() || n.Prefixes() != nil || n != NetworksOf() {
		t.Errorf("the zero value: %v", n.Prefixes())
	}
	given := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::1/128"), netip.MustParsePrefix("::/0")}
	n := NetworksOf(given...)
	if n.Empty() || !slices.Equal(n.Prefixes(), given) {
		t.Errorf("got %v, want %v", n.Prefixes(), given)
	}
	if again := NetworksOf(given...); n != again {
		t.Error("the same networks are not ==")
	}
	if other := NetworksOf(given[:2]...); n == other {
		t.Error("other networks are ==")
	}
	if masked := NetworksOf(netip.MustParsePrefix("10.1.2.3/8")); masked != NetworksOf(given[0]) {
		t.Errorf("bits beyond the prefix are kept: %v", masked.Prefixes())
	}
}

func TestMaskLength(t *testing.T) {
	for mask, want := range map[string]int{
		"0.0.0.0": 0, "128.0.0.0": 1, "255.255.255.0": 24, "255.255.255.254": 31, "255.255.255.255": 32,
	} {
		if got, ok := maskLength(mask); !ok || got != want {
			t.Errorf("%s: %d, %v, want %d", mask, got, ok, want)
		}
	}
	for _, mask := range []string{"", "8", "255.0.255.0", "0.0.0.1", "::", "255.255.255"} {
		if got, ok := maskLength(mask); ok {
			t.Errorf("%s is taken for a mask of %d bits", mask, got)
		}
	}
}
