package upstream

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"tcp-proxy/internal/config"
)

var (
	web = config.Address{Network: "tcp", Host: "web.internal", Port: 80}
	srv = config.Address{Network: "srv", Host: "_web._tcp.internal"}
)

func endpoints(addresses ...string) (list []Endpoint) {
	for _, a := range addresses {
		list = append(list, Endpoint{Addr: netip.MustParseAddrPort(a)})
	}
	return list
}

// picked is the number of sessions of each target, of n, by name.
func picked(t *testing.T, s *Set, n int) string {
	t.Helper()
	var all []string
	for range n {
		x := pick(t, s)
		all = append(all, x.Addr.Addr().String())
		x.Release()
	}
	return strings.Join(all, " ")
}

func named(s *Set) string {
	var all []string
	for _, x := range s.All() {
		all = append(all, x.Name)
	}
	return strings.Join(all, " ")
}

func TestNames(t *testing.T) {
	s := NewSet([]config.Target{
		{Address: nth(0)}, {Address: web, Weight: 2, MaxSessions: 7}, {Address: config.Address{Network: "unix", Path: "/run/a"}}, {Address: srv},
	}, Policy{}, nil)
	if got := fmt.Sprint(s.Names()); got != "[web.internal:80 srv:_web._tcp.internal]" {
		t.Error(got)
	}
	if got := named(s); got != "10.0.0.0:80 unix:/run/a" {
		t.Error(got)
	}
	if x := s.All()[1]; x.Path != "/run/a" || x.Addr.IsValid() {
		t.Error("a unix socket is", x.Addr, x.Path)
	}
	s.Resolved(web, endpoints("[::ffff:10.1.0.2]:80", "10.1.0.1:80", "[fe80::1%eth0]:80", "10.1.0.1:80"))
	if got := named(s); got != "10.0.0.0:80 web.internal:80/10.1.0.1:80 web.internal:80/10.1.0.2:80 web.internal:80/[fe80::1%eth0]:80 unix:/run/a" {
		t.Error(got)
	}
	for _, x := range s.All() {
		if x.Address == web && (x.Weight != 2 || x.MaxSessions != 7 || x.Addr.Addr().Is4In6()) {
			t.Errorf("%s: %+v", x.Name, x.Target)
		}
	}
}

func TestResolvedKeepsStateOfAddresses(t *testing.T) {
	s := NewSet([]config.Target{{Address: web}}, Policy{Retry: retry}, nil)
	s.Resolved(web, endpoints("10.1.0.1:80", "10.1.0.2:80", "10.1.0.3:80"))
	all := s.All()
	held := pick(t, s)
	gone := pick(t, s)
	all[2].Failed(false, errConnect)
	same := s.shared.active.Load()
	s.Resolved(web, endpoints("10.1.0.3:80", "10.1.0.2:80", "10.1.0.1:80"))
	if s.shared.active.Load() != same {
		t.Error("the same answer in another order changes something")
	}
	s.Resolved(web, nil)
	s.Resolved(web, []Endpoint{{}})
	s.Resolved(srv, endpoints("10.1.0.9:80"))
	if s.shared.active.Load() != same {
		t.Error("an answer without an address, or for another name, changes something")
	}
	s.Resolved(web, endpoints("10.1.0.1:80", "10.1.0.3:80", "10.1.0.4:80"))
	now := s.All()
	if now[0].Sessions() != 1 || !now[0].Same(held) || now[1].State() != Dead || now[2].State() != Alive {
		t.Error("an address that stays has lost its state")
	}
	if got := picked(t, s, 4); got != "10.1.0.1 10.1.0.4 10.1.0.1 10.1.0.4" && got != "10.1.0.4 10.1.0.1 10.1.0.4 10.1.0.1" {
		t.Error(got)
	}
	held.Release()
	if gone.Sessions() != 1 || gone.active.Load() != nil {
		t.Error("a removed address has lost its state, or is still in the rotation")
	}
	// The address comes back while its session is open.
	s.Resolved(web, endpoints("10.1.0.2:80"))
	if s.All()[0].Sessions() != 1 {
		t.Error("an address that comes back has lost its session")
	}
	gone.Release()
	none(t, s)
	// A drained address is removed for a while.
	s.All()[0].Drain(true)
	s.Resolved(web, endpoints("10.1.0.1:80"))
	s.Resolved(web, endpoints("10.1.0.1:80", "10.1.0.2:80"))
	if got := s.All()[1].State(); got != Draining {
		t.Error("an address that was drained, removed and added again is", got)
	}
	// The state of the others is not kept.
	if n := len(s.shared.states); n != 2 {
		t.Errorf("%d endpoints are known", n)
	}
}

// The state that is kept of removed endpoints is bounded.
func TestRemovedEndpointsAreBounded(t *testing.T) {
	s := NewSet([]config.Target{{Address: web}}, Policy{}, nil)
	for i := range 5 * maxDrainedKept {
		s.Resolved(web, []Endpoint{{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 3, byte(i >> 8), byte(i)}), 80)}})
		s.All()[0].Drain(true)
	}
	if n := len(s.shared.states); n > maxDrainedKept+1 {
		t.Errorf("%d endpoints are known", n)
	}
}

func TestUnresolved(t *testing.T) {
	s := NewSet([]config.Target{{Address: web}, {Address: srv, Backup: true}}, Policy{}, nil)
	if _, _, err := s.Pick(new(Attempts), noClient); !errors.Is(err, ErrUnresolved) {
		t.Error(err)
	}
	s.Resolved(srv, endpoints("10.1.0.1:80"))
	if got := picked(t, s, 2); got != "10.1.0.1 10.1.0.1" {
		t.Error(got)
	}
	s.All()[0].Drain(true)
	if _, _, err := s.Pick(new(Attempts), noClient); !errors.Is(err, ErrNone) {
		t.Error("with an endpoint that is drained:", err)
	}
	down := NewSet([]config.Target{{Address: web, Down: true}}, Policy{}, nil)
	if _, _, err := down.Pick(new(Attempts), noClient); !errors.Is(err, ErrNone) {
		t.Error("with a name that is down:", err)
	}
	down.Resolved(web, endpoints("10.1.0.1:80"))
	if down.All()[0].State() != Down {
		t.Error("an endpoint of a name that is down is", down.All()[0].State())
	}
}

// SRV records are picked by priority and weight; the backups of the configuration come last.
func TestPriorities(t *testing.T) {
	s := NewSet([]config.Target{{Address: nth(1), Backup: true}, {Address: srv}}, Policy{Retry: retry}, nil)
	s.Resolved(srv, []Endpoint{
		{Addr: netip.MustParseAddrPort("10.2.0.3:80"), Priority: 20},
		{Addr: netip.MustParseAddrPort("10.2.0.1:80"), Priority: 10, Weight: 256},
		{Addr: netip.MustParseAddrPort("10.2.0.2:80"), Priority: 10, Weight: 128},
		{Addr: netip.MustParseAddrPort("10.2.0.4:80"), Priority: 10, Weight: 1},
	})
	counts := map[string]int{}
	total := 0
	for _, x := range s.All()[1:4] {
		total += x.Weight
	}
	for range total {
		counts[picked(t, s, 1)]++
	}
	if counts["10.2.0.1"] != 256 || counts["10.2.0.2"] != 128 || counts["10.2.0.4"] != 1 || len(counts) != 3 {
		t.Error(counts)
	}
	for _, want := range []string{"10.2.0.3", "10.0.0.1"} {
		for _, x := range s.All() {
			if x.Address == srv && (want == "10.0.0.1" || x.Name[len(x.Name)-4:] != "3:80") {
				x.Failed(false, errConnect)
			}
		}
		if got := picked(t, s, 1); got != want {
			t.Errorf("%s instead of %s", got, want)
		}
	}
	s.Retire()
}

// An address that several targets have is one endpoint.
func TestAddressOfSeveralTargetsIsOneEndpoint(t *testing.T) {
	other := config.Address{Network: "tcp", Host: "other", Port: 80}
	s := NewSet([]config.Target{
		{Address: web}, {Address: other}, {Address: config.Address{Network: "tcp", Host: "10.1.0.1", Port: 80}, Down: true},
	}, Policy{}, nil)
	s.Resolved(other, endpoints("10.1.0.1:80", "10.1.0.2:80", "10.1.0.3:80"))
	s.Resolved(web, endpoints("10.1.0.1:80", "10.1.0.2:80"))
	if got := named(s); got != "web.internal:80/10.1.0.2:80 other:80/10.1.0.3:80 10.1.0.1:80" {
		t.Error(got)
	}
	if got := picked(t, s, 2); got != "10.1.0.2 10.1.0.3" {
		t.Error(got)
	}
}

func TestRacePicksTheOtherFamily(t *testing.T) {
	s := NewSet([]config.Target{{Address: web}, {Address: nth(1)}}, Policy{Retry: retry}, nil)
	s.Resolved(web, endpoints("10.1.0.1:80", "[2001:db8::1]:80", "[2001:db8::2]:80", "10.1.0.2:80"))
	var tried Attempts
	first, _, _ := s.Pick(&tried, noClient)
	var raced []string
	for {
		x, halfOpen := s.Race(first, &tried)
		if x == nil {
			break
		}
		if halfOpen || x.Sessions() != 1 {
			t.Errorf("trial %v, %d sessions", halfOpen, x.Sessions())
		}
		raced = append(raced, x.Addr.Addr().String())
		x.Release()
	}
	slices.Sort(raced)
	if got := fmt.Sprint(raced); got != "[2001:db8::1 2001:db8::2]" || tried.Len() != 3 {
		t.Errorf("%s, %d tried", got, tried.Len())
	}
	if x, _ := s.Race(s.All()[4], new(Attempts)); x != nil {
		t.Error("a literal address is raced")
	}
	for _, x := range s.All() {
		x.Failed(false, errConnect)
	}
	if x, _ := s.Race(first, new(Attempts)); x != nil {
		t.Error("a dead address is raced")
	}
	first.Release()
	none(t, s)
	s.Retire()
}

// A session waits for the first answer of a name, but not after the answer that the name has no address.
func TestSessionDoesNotWaitForNameWithoutAddress(t *testing.T) {
	name := config.Address{Network: "tcp", Host: "nobody.invalid", Port: 80}
	s := NewSet([]config.Target{{Address: name, Weight: 1}}, Policy{}, nil)
	picks := func(s *Set, want error) {
		t.Helper()
		var tried Attempts
		if x, _, err := s.Pick(&tried, netip.Addr{}); err != want {
			t.Fatalf("%v, %v; want %v", x, err, want)
		} else if x != nil {
			x.Release()
		}
	}
	picks(s, ErrUnresolved)
	s.Unknown(name)
	picks(s, ErrNone)
	next := NewSet([]config.Target{{Address: name, Weight: 2}}, Policy{}, s)
	next.Activate()
	picks(next, ErrNone)
	next.Resolved(name, []Endpoint{{Addr: netip.MustParseAddrPort("192.0.2.1:80")}})
	picks(next, nil)
	next.Unknown(name)
	picks(next, nil)
}
