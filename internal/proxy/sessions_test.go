package proxy

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/upstream"
)

func TestClientPattern(t *testing.T) {
	const v4, v6, local = "192.0.2.7:4242", "[2001:db8::7]:4242", "[fe80::7%eth0]:4242"
	for pattern, want := range map[string][]string{
		"192.0.2.7":            {v4},
		"192.0.2.8":            {},
		"192.0.2.7:4242":       {v4},
		"192.0.2.7:4243":       {},
		"192.0.2.0/24":         {v4},
		"0.0.0.0/0":            {v4},
		"::ffff:192.0.2.7":     {v4},
		"2001:db8::/32":        {v6},
		"2001:db8::7":          {v6},
		"[2001:db8::7]:4242":   {v6},
		"::/0":                 {v6, local},
		"fe80::7":              {local},
		"fe80::7%eth1":         {local},
		"[fe80::7%eth1]:4242":  {local},
		"unix:":                {""},
		"::ffff:192.0.2.0/120": {},
	} {
		p, err := ParseClientPattern(pattern)
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
			continue
		}
		for _, client := range []string{v4, v6, local, ""} {
			var a netip.AddrPort
			if client != "" {
				a = netip.MustParseAddrPort(client)
			}
			matches := false
			for _, w := range want {
				matches = matches || w == client
			}
			if p.matches(a) != matches {
				t.Errorf("%s matches %q: %v, want %v", pattern, client, !matches, matches)
			}
		}
		if mapped := netip.MustParseAddrPort("[::ffff:192.0.2.7]:4242"); p.matches(mapped) != p.matches(netip.MustParseAddrPort(v4)) {
			t.Errorf("%s: an IPv4-mapped client is another", pattern)
		}
	}
	for _, bad := range []string{"here", "192.0.2", "192.0.2.0/33", ":80", "unix", "192.0.2.7:"} {
		if _, err := ParseClientPattern(bad); err == nil || !strings.Contains(err.Error(), "is no client") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// A target is meant by its name, or by the address that the configuration has for it and others.
func TestTargetOfQuery(t *testing.T) {
	address := config.Address{Network: "tcp", Host: "web.internal", Port: 80}
	set := upstream.NewSet([]config.Target{
		{Address: address, Weight: 1}, {Address: config.Address{Network: "unix", Path: "/run/a.sock"}, Weight: 1},
	}, upstream.Policy{}, nil)
	set.Resolved(address, []upstream.Endpoint{{Addr: netip.MustParseAddrPort("10.0.0.1:80")}})
	for name, want := range map[string]int{
		"web.internal:80": 1, "web.internal:80/10.0.0.1:80": 1, "web.internal:8": 0, "web.internal:80/": 0, "10.0.0.1:80": 0,
		"unix:/run/a.sock": 1, "unix:": 0, "unix:/run": 0,
	} {
		n := 0
		for _, x := range set.All() {
			if isTarget(x, name) {
				n++
			}
		}
		if n != want {
			t.Errorf("%s is %d targets, want %d", name, n, want)
		}
	}
	if isTarget(nil, "a") {
		t.Error("no target is one")
	}
}

// A loop that decides which of its sessions match allocates nothing.
func TestQueryDoesNotAllocate(t *testing.T) {
	set := upstream.NewSet([]config.Target{{Address: config.Address{Network: "tcp", Host: "10.0.0.1", Port: 80}, Weight: 1}}, upstream.Policy{}, nil)
	s := relay.OpenSession{
		ID: 4711, Route: &relay.Route{App: "Web"}, Port: relay.NewPort("8080", nil), Client: netip.MustParseAddrPort("192.0.2.7:4242"),
		Target: set.All()[0], Progress: relay.Established,
	}
	client, err := ParseClientPattern("192.0.2.0/24")
	if err != nil {
		t.Fatal(err)
	}
	q := SessionQuery{App: "Web", Target: "10.0.0.1:80", Client: client, State: relay.Established, Words: []string{"WEB", "4711", "192.0.2.7:42", "8080"}}
	match := q.compile()
	if !match(&s) {
		t.Fatal("the session does not match")
	}
	if n := testing.AllocsPerRun(100, func() { match(&s) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Times are to the millisecond, and there is no idle time before a target is connected.
func TestDescribeSession(t *testing.T) {
	now := time.Now()
	s := relay.OpenSession{
		ID: 1, Route: &relay.Route{App: "web"}, Port: relay.NewPort("unix:/run/a.sock", nil), Progress: relay.AwaitsSlot,
		Client: netip.MustParseAddrPort("192.0.2.7:4242"), Begun: now.Add(-1500400 * time.Microsecond),
	}
	if d := describeSession(&s, now); d.Age != 1.5 || d.Idle != nil || d.Target != "" || d.Client != "192.0.2.7:4242" || d.Peer != "unix:" {
		t.Errorf("%+v", d)
	}
	s.Moved, s.Client = now.Add(time.Hour), netip.AddrPort{} // a clock of another loop is a little ahead
	if d := describeSession(&s, now); d.Idle == nil || *d.Idle != 0 || d.Client != "unix:" || d.Peer != "" {
		t.Errorf("%+v", d)
	}
}
