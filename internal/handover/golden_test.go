package handover

import (
	"bytes"
	"cmp"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"tcp-proxy/internal/config"
)

var update = flag.Bool("update", false, "write the golden files of this release")

// goldens is the folder of the golden files that this release writes. A release that changes what is written has a folder of
// its own, and those of earlier releases stay as they are: every one must still be read.
const goldens = "testdata/first"

var boot = BootID{0x3c, 0x5a, 0x5d, 0x4e, 0x8e, 0x0c, 0x4d, 0x3b, 0x9d, 0x1f, 0x0e, 0x52, 0x7a, 0x11, 0x20, 0x4f}

// full is a state that has everything.
func full() *State {
	route := Route{App: "web", Settings: config.Settings{
		Balance: config.BalanceSourceHash, ConnectTimeout: 5 * time.Second, ConnectAttempts: 3, RetryDeadAfter: time.Second,
		IdleTimeout: time.Hour, HalfCloseTimeout: time.Minute, MaxSessionDuration: 24 * time.Hour,
		Keepalive: config.Keepalive{Enabled: true, Idle: time.Minute, Interval: 10 * time.Second, Count: 5},
		Allow:     config.NetworksOf(netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")),
		Deny:      config.NetworksOf(netip.MustParsePrefix("192.0.2.66/32")), MaxSessions: 1000, MaxSessionsPerSource: 100,
		SessionsPerSecond: 500, SessionsPerSecondPerSource: 50,
		BytesPerSecond:      config.BytesPerSecond{Upload: 1 << 20, Download: 2 << 20},
		AcceptProxyProtocol: config.AcceptProxyProtocol{From: config.NetworksOf(netip.MustParsePrefix("10.0.0.0/8")), Timeout: 3 * time.Second},
		SendProxyProtocol:   config.ProxyV2, SourceAddress: netip.MustParseAddr("192.0.2.1"),
		Probe: config.Probe{
			When: config.ProbeAlways, Interval: time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3, Port: 8080,
			Send: "PING\r\n", Expect: "+PONG", HTTP: config.HTTPProbe{Path: "/health", Low: 200, High: 299},
		},
		OnDead: config.OnDeadClose,
	}}
	relaying := Session{
		ID: 4711, Phase: Relaying, Route: 0, Port: 0, Target: 2, First: 1 + Server, Finished: 1 << Server, Broken: 1 << Client,
		Admitted: true, Early: true, LocalFault: true, KeepaliveSet: true, FromHere: true,
		Side: [2]Side{
			{Cookie: 0x1001, Finished: true, Broken: true, Unix: true, NoDelay: true},
			{Cookie: 0x1002, PassedOn: true, Urgent: true, Written: true},
		},
		Flow: [2]Flow{
			{Moved: 1 << 40, Metered: 1<<40 - 5, Pending: []byte("up\x00"), Balance: 17, BalanceKnown: true, Rate: Rate{Missing: 9e9, At: 5e12}},
			{Moved: 3, Metered: 3, Pending: bytes.Repeat([]byte{0xff}, 300), Balance: -1, Rate: Rate{Missing: 1, At: 2}},
		},
		Peer: netip.MustParseAddrPort("192.0.2.7:50000"), PeerZone: 2,
		HeaderSource: netip.MustParseAddrPort("[2001:db8::7]:1"), HeaderDestination: netip.MustParseAddrPort("[2001:db8::1]:443"),
		Attempts: 2, Tried: []int{0, 2}, Failure: "connect to unix:/run/app.sock: connection refused", Ticket: 99, Begun: 4e12, Connected: 4e12 + 1, Moved: 4e12 + 2, ResetAt: 4e12 + 3, Until: 4e12 + 4,
	}
	return &State{
		Header: Header{Boot: boot, Generation: 7, Attempts: 2, LastID: 5000, Clean: true},
		Routes: []Route{route, {}, {App: "old"}},
		Targets: []Target{
			{App: "old", Target: config.Target{Address: config.Address{Network: "unix", Path: "/run/app.sock"}, Weight: 1}, Name: "unix:/run/app.sock", Path: "/run/app.sock"},
			{},
			{
				App: "web", Name: "app.example/10.0.0.1:80", Addr: netip.MustParseAddrPort("[fe80::1%eth0]:80"), Active: true,
				Target: config.Target{Address: config.Address{Network: "tcp", Host: "app.example", Port: 80}, Weight: 256, Backup: true, MaxSessions: 10, Down: true},
			},
		},
		Ports: []Port{
			{App: "web", Port: config.Port{Network: "tcp", Addr: netip.MustParseAddrPort("192.0.2.1:443")}, Cookie: 0x2001, Address: "192.0.2.1:443", FailingSince: 4e12, Inherited: true, Index: 1},
			{},
			{App: "old", Port: config.Port{Network: "systemd", Path: "old"}, Address: "unix:/run/old.sock"},
		},
		Sessions: []Session{
			relaying,
			{
				ID: 4712, Phase: AwaitsHeader, Route: 2, Port: 2, Target: NoTarget, Side: [2]Side{{Cookie: 0x1003}, {}},
				Attempts: 1, Tried: []int{0}, Flow: [2]Flow{{Pending: []byte("PROXY TCP4 ")}, {}}, Peer: netip.MustParseAddrPort("[2001:db8::9]:50001"), Begun: 1, Until: 3e9 + 1,
			},
		},
		Notes: Notes{
			Draining: true, LogLevel: &LogLevel{Level: "debug", Until: 6e12, By: "uid 0"},
			Targets: []TargetNotes{{
				App: "web", Name: "app.example/10.0.0.1:80", Drained: true, Untested: true, Dead: true, Since: 1, Error: "connection refused", RetryAt: 2,
				DemotedUntil: 3, Sessions: 4, ClosedEarly: 5, Failures: map[string]int64{"refused": 6, "timeout": 7}, Upload: 8, Download: 9, ProbesPassed: 10, ProbesFailed: 11,
			}},
			Apps: []AppNotes{{
				App: "web", Upload: 1, Download: 2, Causes: map[string]uint64{"client_closed": 1<<63 + 1}, Refused: map[string]uint64{"denied": 4},
				Connect: Histogram{Bounds: []int64{1e5, 1e6}, Counts: []uint64{1, 2, 3}, Sum: 12345}, Session: Histogram{Bounds: []int64{1e9}, Counts: []uint64{6, 0}, Sum: 6},
			}},
			Process:       map[string]uint64{"tcp_proxy_reloads_total": 3},
			Origins:       []Origin{{Session: 4711, Apps: []string{"front", "web"}}},
			Configuration: []File{{Name: "config.json", Content: []byte("{}\n")}},
		},
	}
}

func empty() *State { return &State{Header: Header{Boot: boot, Generation: 1, Clean: true}} }

// longer is the shape of a later release: everything has grown.
var longer = shape{headerSize + 16, entrySize + 8, [kinds]int{
	routes: sizes[routes] + 8, targets: sizes[targets] + 24, ports: sizes[ports] + 1, sessions: sizes[sessions] + 100, attempts: sizes[attempts] + 2,
}, 0xee}

// shorter is the shape of an earlier release, as it may have been: the records end before the fields that missing names.
var shorter = shape{headerSize, entrySize, [kinds]int{routes: 262, targets: 86, ports: 70, sessions: 290, attempts: sizes[attempts]}, 0}

func missing(s *State) *State {
	for i := range s.Routes {
		if s.Routes[i].used() {
			s.Routes[i].OnDead = config.OnDeadKeep
		}
	}
	for i := range s.Targets {
		s.Targets[i].Backup, s.Targets[i].Down, s.Targets[i].Active = false, false, false
	}
	for i := range s.Ports {
		s.Ports[i].Inherited = false
	}
	for i := range s.Sessions {
		s.Sessions[i].ResetAt, s.Sessions[i].Until = 0, 0
	}
	return s
}

// read is a state as it is read: words that nobody has given are the defaults.
func read(s *State) *State {
	for i := range s.Routes {
		if r := &s.Routes[i]; r.used() {
			r.Balance, r.Probe.When, r.OnDead = cmp.Or(r.Balance, balancers[0]), cmp.Or(r.Probe.When, probeTimes[0]), cmp.Or(r.OnDead, onDead[0])
		}
	}
	for i := range s.Targets {
		if x := &s.Targets[i]; x.used() {
			x.Address.Network, x.Weight = cmp.Or(x.Address.Network, networks[0]), max(x.Weight, 1)
		}
	}
	for i := range s.Ports {
		if x := &s.Ports[i]; x.used() {
			x.Network = cmp.Or(x.Network, portNetworks[0])
		}
	}
	return s
}

// today is the shape that this release writes.
var today = shape{header: headerSize, entry: entrySize, record: sizes}

var goldenFiles = []struct {
	name  string
	state func() *State
	shape shape
	want  func() *State
}{
	{"full", full, today, full},
	{"empty", empty, today, empty},
	{"longer", full, longer, full},
	{"shorter", full, shorter, func() *State { return missing(full()) }},
}

// What this release writes is what the golden files of its folder have.
func TestEncoderWritesTheGoldenFiles(t *testing.T) {
	for _, g := range goldenFiles {
		t.Run(g.name, func(t *testing.T) {
			s := g.state()
			got, err := s.encode(&g.shape)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(g.state(), s, comparable); diff != "" {
				t.Errorf("encoding has changed the state:\n%s", diff)
			}
			file := filepath.Join(goldens, g.name)
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s has other bytes: a layout that was released cannot change. The first other byte is at %d", file, differ(got, want))
			}
		})
	}
	if b, err := full().Encode(); err != nil || !bytes.Equal(b, golden(t, "full")) {
		t.Errorf("Encode writes another shape than this release has, %v", err)
	}
}

func differ(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

func golden(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(goldens, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// comparable lets cmp compare the values of states.
var comparable = gocmp.Exporter(func(t reflect.Type) bool {
	return t == reflect.TypeFor[config.Networks]() || t.PkgPath() == "net/netip" || t.PkgPath() == "unique"
})

// Every golden file is read, also those with longer and with shorter records.
func TestGoldenFilesAreRead(t *testing.T) {
	for _, g := range goldenFiles {
		t.Run(g.name, func(t *testing.T) {
			got, err := Decode(golden(t, g.name), boot)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(read(g.want()), got, comparable); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
