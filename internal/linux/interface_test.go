package linux

import (
	"net"
	"strings"
	"testing"
)

// Names and numbers of interfaces are those that package net gives.
func TestInterfaces(t *testing.T) {
	links, err := net.Interfaces()
	if err != nil || len(links) == 0 {
		t.Fatalf("%d interfaces, %v", len(links), err)
	}
	for _, link := range links {
		if name := InterfaceName(uint32(link.Index)); name != link.Name {
			t.Errorf("interface %d is %q, want %q", link.Index, name, link.Name)
		}
		if index, err := interfaceIndex(link.Name); index != uint32(link.Index) || err != nil {
			t.Errorf("interface %q is number %d, want %d (%v)", link.Name, index, link.Index, err)
		}
	}
	if name := InterfaceName(1<<31 - 1); name != "2147483647" {
		t.Errorf("an interface that is not there is %q", name)
	}
	for _, name := range []string{"no-such-link", strings.Repeat("x", 100)} {
		if _, err := interfaceIndex(name); err == nil || !strings.Contains(err.Error(), "no network interface") {
			t.Errorf("%q: %v", name, err)
		}
	}
}
