package config

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// sameConfig compares configurations without their places in the file.
var sameConfig = cmp.Options{cmpopts.IgnoreUnexported(Config{}), cmpopts.EquateComparable(netip.AddrPort{}, netip.Addr{}, Networks{})}

// configOf returns a configuration with these apps and defaults for the rest.
func configOf(apps ...App) *Config {
	c := Default()
	c.Apps = apps
	return &c
}

// appWith returns an app with one port and one target, a:1, modified by change.
func appWith(name string, port uint16, change func(*App)) App {
	a := App{
		Name:     name,
		Ports:    []Port{tcpPort("", port)},
		Targets:  []Target{{Address: tcpAddress("a", 1), Weight: 1}},
		Settings: DefaultSettings(),
	}
	if change != nil {
		change(&a)
	}
	return a
}

func tcpPort(ip string, port uint16) Port {
	var addr netip.Addr
	if ip != "" {
		addr = netip.MustParseAddr(ip)
	}
	return Port{Network: "tcp", Addr: netip.AddrPortFrom(addr, port)}
}

func networksOf(prefixes ...string) Networks {
	list := make([]netip.Prefix, len(prefixes))
	for i, p := range prefixes {
		list[i] = netip.MustParsePrefix(p)
	}
	return NetworksOf(list...)
}

func tcpAddress(host string, port uint16) Address {
	return Address{Network: "tcp", Host: host, Port: port}
}

var validConfigs = map[string]*Config{
	"smallest": configOf(appWith("port-5001", 5001, func(a *App) { a.Targets[0].Address = tcpAddress("10.0.0.1", 80) })),

	"keys-in-any-case": func() *Config {
		c := configOf(appWith("a", 5001, func(a *App) { a.Targets[0] = Target{Address: tcpAddress("10.0.0.1", 80), Weight: 2} }))
		c.MaxWorkers, c.Log.Level = 7, "debug"
		return c
	}(),

	"comments-and-commas": func() *Config {
		c := configOf(appWith("port-web.sock", 0, func(a *App) {
			a.Ports[0] = Port{Network: "unix", Path: "//run//web.sock"}
			a.Targets[0].Address = tcpAddress("10.0.0.1", 80)
		}))
		c.MaxWorkers = 1000000
		return c
	}(),

	"every-key": {
		MaxWorkers:   1,
		Engine:       "copy",
		DrainTimeout: 30 * time.Second,
		Reload:       "auto",
		Log:          Log{Level: "warning", Format: "json", Sessions: 0},
		Admin: Admin{Listen: []AdminAddress{
			{Network: "unix", Path: "/run/tcp-proxy/admin.sock"}, {Network: "tcp", Addr: netip.MustParseAddrPort("127.0.0.1:9901")},
		}},
		Apps: []App{{
			Name:    "web",
			Ports:   []Port{tcpPort("", 65535)},
			Targets: []Target{{Address: tcpAddress("10.0.0.1", 80), Weight: 256, Backup: true, MaxSessions: 1000000, Down: true}},
			Settings: Settings{
				Balance:            "nearest",
				ConnectTimeout:     time.Hour,
				ConnectAttempts:    0,
				RetryDeadAfter:     1500 * time.Millisecond,
				IdleTimeout:        90 * time.Second,
				HalfCloseTimeout:   0,
				MaxSessionDuration: 24 * time.Hour,
				Keepalive:          Keepalive{Enabled: true, Idle: 2 * time.Second, Interval: 3 * time.Second, Count: 1},

				Allow:                      networksOf("10.0.0.0/8", "fd00::/8", "192.0.2.1/32"),
				Deny:                       networksOf("10.1.0.0/16", "fd00::1/128"),
				MaxSessions:                1,
				MaxSessionsPerSource:       2,
				SessionsPerSecond:          3,
				SessionsPerSecondPerSource: 4,

				BytesPerSecond:      BytesPerSecond{Upload: 1024, Download: 100000000000},
				AcceptProxyProtocol: AcceptProxyProtocol{From: networksOf("127.0.0.0/8"), Timeout: time.Second},
				SendProxyProtocol:   "v2",
				SourceAddress:       netip.MustParseAddr("10.0.0.9"),

				Probe: Probe{
					When: "always", Interval: time.Second, Timeout: 3 * time.Second, Rise: 4, Fall: 5, Port: 6,
					HTTP: HTTPProbe{Path: "/healthz?a=%20", Low: 204, High: 204},
				},
				OnDead: "close",
			},
		}},
	},

	"defaults-after-apps": configOf(
		appWith("a", 1, func(a *App) { a.ConnectTimeout, a.Keepalive.Interval = time.Second, 5*time.Second }),
		appWith("b", 2, func(a *App) {
			a.ConnectTimeout, a.Keepalive.Interval, a.Keepalive.Idle = 2*time.Second, 5*time.Second, 30*time.Second
		}),
	),

	"keepalive": configOf(
		appWith("port-1", 1, func(a *App) { a.Keepalive = Keepalive{} }),
		appWith("port-2", 2, nil),
		appWith("port-3", 3, func(a *App) { a.Keepalive = Keepalive{} }),
		appWith("port-4", 4, func(a *App) { a.Keepalive.Count = 9 }),
		appWith("port-5", 5, nil),
	),

	"log-sessions": func() *Config {
		c := configOf(appWith("port-5001", 5001, func(a *App) { a.Targets[0].Address = tcpAddress("10.0.0.1", 80) }))
		c.Log.Sessions = 100
		return c
	}(),

	"keepalive-in-defaults": configOf(
		appWith("port-1", 1, func(a *App) { a.Keepalive.Count = 9 }),
		appWith("port-2", 2, func(a *App) { a.Keepalive = Keepalive{} }),
	),

	"ports": configOf(appWith("port-5001", 5001, func(a *App) {
		a.Ports = []Port{
			tcpPort("", 5001), tcpPort("", 5002), tcpPort("", 5003), tcpPort("", 5200), tcpPort("", 5201), tcpPort("", 5202),
			tcpPort("127.0.0.1", 5300), tcpPort("127.0.0.1", 5310), tcpPort("127.0.0.1", 5311),
			tcpPort("::1", 5400), tcpPort("::1", 5401), tcpPort("::1", 5402),
			tcpPort("fe80::1%eth0", 5400), tcpPort("0.0.0.0", 80), tcpPort("::", 81), tcpPort("127.0.0.1", 82),
			{Network: "unix", Path: "/run/web.sock"}, tcpPort("", 7),
			{Network: "systemd", Path: "web"}, {Network: "systemd", Path: "my web.socket"},
		}
	})),

	"ports-side-by-side": configOf(
		appWith("a", 0, func(a *App) {
			a.Ports = []Port{tcpPort("0.0.0.0", 80), tcpPort("10.0.0.1", 81), {Network: "unix", Path: "/run/a"}, tcpPort("fe80::1%a", 82)}
		}),
		appWith("b", 0, func(a *App) {
			a.Ports = []Port{tcpPort("::1", 80), tcpPort("10.0.0.2", 81), tcpPort("::1", 81), {Network: "unix", Path: "/run/b"},
				tcpPort("fe80::1%b", 82), tcpPort("", 79)}
		}),
	),

	"targets": configOf(appWith("port-1", 1, func(a *App) {
		a.Targets = nil
		for _, address := range []Address{
			tcpAddress("10.0.0.1", 80), tcpAddress("10.0.0.1", 81), tcpAddress("web.internal", 80), tcpAddress("Web_1", 65535),
			tcpAddress("fqdn.example.", 1), tcpAddress("::1", 80), tcpAddress("::2", 80), tcpAddress("10.0.0.2", 80),
			tcpAddress("fe80::1%eth0", 80), {Network: "unix", Path: "/run/app.sock"}, tcpAddress("10.0.0.3", 80),
		} {
			a.Targets = append(a.Targets, Target{Address: address, Weight: 1})
		}
		a.Targets = append(a.Targets, Target{Address: Address{Network: "unix", Path: "/a b"}, Weight: 2},
			Target{Address: Address{Network: "srv", Host: "_web._tcp.example.internal"}, Weight: 1},
			Target{Address: Address{Network: "srv", Host: "_Ldap._x-y.a."}, Weight: 3, Backup: true})
	})),

	"all-targets-down-or-backup": configOf(
		appWith("port-1", 1, func(a *App) { a.Targets[0].Down = true }),
		appWith("port-2", 2, func(a *App) {
			a.Targets = []Target{{Address: tcpAddress("a", 1), Weight: 1, Backup: true}, {Address: tcpAddress("b", 1), Weight: 1, Backup: true}}
		}),
	),

	"admin": func() *Config {
		c := configOf(appWith("port-9901", 0, func(a *App) { a.Ports[0] = tcpPort("127.0.0.2", 9901) }))
		c.Admin.Listen = []AdminAddress{{Network: "unix", Path: "/run/tcp-proxy/admin.sock"}}
		for _, addr := range []string{"127.0.0.1:9901", "[::1]:9901", "10.0.0.1:9901", "[fe80::1%eth0]:9902", "0.0.0.0:9903"} {
			c.Admin.Listen = append(c.Admin.Listen, AdminAddress{Network: "tcp", Addr: netip.MustParseAddrPort(addr)})
		}
		return c
	}(),

	"admin-nowhere": configOf(appWith("port-1", 1, nil)),

	"networks": configOf(
		appWith("port-1", 1, func(a *App) { a.Allow, a.Deny = networksOf("10.0.0.0/8"), networksOf("10.1.0.0/16", "10.2.0.0/16") }),
		appWith("port-2", 2, func(a *App) { a.Deny = networksOf("192.0.2.7/32", "fd00::1/128", "0.0.0.0/0", "::/0", "192.0.2.7/32") }),
		appWith("port-3", 3, func(a *App) { a.Allow = networksOf("10.0.0.0/8") }),
	),

	"accept-proxy-protocol": configOf(
		appWith("port-1", 1, func(a *App) { a.AcceptProxyProtocol = AcceptProxyProtocol{networksOf("10.0.0.0/8"), 5 * time.Second} }),
		appWith("port-2", 2, nil),
		appWith("port-3", 3, func(a *App) { a.AcceptProxyProtocol = AcceptProxyProtocol{networksOf("10.0.0.0/8"), time.Second} }),
		appWith("port-4", 4, func(a *App) {
			a.Targets[0].Address = Address{Network: "unix", Path: "/run/app.sock"}
			a.AcceptProxyProtocol = AcceptProxyProtocol{networksOf("::1/128"), 5 * time.Second}
			a.SendProxyProtocol = ProxyV1
		}),
	),

	"probe": configOf(
		appWith("port-1", 1, func(a *App) { a.Probe.Rise, a.Probe.Send, a.Probe.Expect = 1, "\x00\\\x00é", "\r\n\xff" }),
		appWith("port-2", 2, func(a *App) { a.Probe.Rise, a.Probe.HTTP = 1, HTTPProbe{"/", 200, 399} }),
		appWith("port-3", 3, func(a *App) { a.Probe.Rise, a.Probe.Fall, a.Probe.HTTP = 1, 1, HTTPProbe{"/", 301, 301} }),
		appWith("port-4", 4, func(a *App) { a.Probe.Rise, a.Probe.Send = 1, "\x00\\\x00é" }),
		appWith("port-5", 5, func(a *App) {
			a.Probe.Rise, a.Probe.Send, a.Probe.Expect, a.Probe.Timeout = 1, "\x00\\\x00é", "\r\n\xff", time.Minute
		}),
	),

	"probe-http-in-defaults": configOf(
		appWith("port-1", 1, func(a *App) { a.Probe.When, a.Probe.HTTP = ProbeAlways, HTTPProbe{"/healthz", 200, 399} }),
		appWith("port-2", 2, func(a *App) { a.Probe.When, a.Probe.HTTP = ProbeAlways, HTTPProbe{"/healthz", 200, 204} }),
		appWith("port-3", 3, func(a *App) { a.Probe.When, a.Probe.Expect = ProbeAlways, "220 " }),
		appWith("port-4", 4, func(a *App) { a.Probe.When = ProbeAlways }),
		appWith("port-5", 5, func(a *App) {
			a.Probe.When, a.Probe.HTTP, a.OnDead = ProbeAlways, HTTPProbe{"/healthz", 200, 399}, OnDeadClose
		}),
	),

	"bytes-per-second": configOf(
		appWith("port-1", 1, func(a *App) { a.BytesPerSecond = BytesPerSecond{2000, 3000} }),
		appWith("port-2", 2, func(a *App) { a.BytesPerSecond = BytesPerSecond{0, 3000} }),
		appWith("port-3", 3, func(a *App) { a.BytesPerSecond = BytesPerSecond{2000, 1} }),
	),

	"source-address": configOf(
		appWith("port-1", 1, func(a *App) {
			a.SourceAddress = netip.MustParseAddr("10.0.0.9")
			a.Targets = []Target{
				{Address: tcpAddress("a", 1), Weight: 1}, {Address: tcpAddress("10.0.0.1", 1), Weight: 1},
				{Address: Address{Network: "unix", Path: "/run/app.sock"}, Weight: 1},
				{Address: Address{Network: "srv", Host: "_web._tcp.example.internal"}, Weight: 1},
			}
		}),
		appWith("port-2", 2, func(a *App) {
			a.SourceAddress, a.Targets[0].Address = netip.MustParseAddr("fd00::9"), tcpAddress("fd00::1", 1)
		}),
		appWith("port-3", 3, func(a *App) { a.Targets[0].Address = tcpAddress("fd00::1", 1) }),
		appWith("port-4", 4, func(a *App) {
			a.SourceAddress, a.Targets[0].Address = netip.MustParseAddr("fe80::9%eth0"), tcpAddress("fe80::1%eth0", 1)
		}),
		appWith("port-5", 5, func(a *App) {
			a.SourceAddress, a.Targets[0].Address = netip.MustParseAddr("10.0.0.8"), tcpAddress("10.0.0.1", 1)
		}),
	),

	"default-names": configOf(
		appWith("port-5001", 0, func(a *App) {
			a.Ports = []Port{tcpPort("127.0.0.1", 5001), tcpPort("127.0.0.1", 5002), tcpPort("127.0.0.1", 5003)}
		}),
		appWith("port-web.sock", 0, func(a *App) { a.Ports[0] = Port{Network: "unix", Path: "/run/web.sock"} }),
		appWith("port-web", 0, func(a *App) { a.Ports[0] = Port{Network: "systemd", Path: "web"} }),
	),
}

// Every file of testdata/valid is parsed to the configuration above.
func TestValid(t *testing.T) {
	files := testFiles(t, "valid")
	for name := range validConfigs {
		if _, ok := files[name]; !ok {
			t.Errorf("testdata/valid/%s.json is missing", name)
		}
	}
	for name, data := range files {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(name, data)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(validConfigs[name], got, sameConfig); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// shipped is the configuration that packages install.
const shipped = "../../etc/tcp-proxy/config.json"

func TestShipped(t *testing.T) {
	c, err := Load(shipped)
	if err != nil {
		t.Fatal(err)
	}
	for _, app := range c.Apps {
		for _, port := range app.Ports {
			if !port.Addr.Addr().IsLoopback() {
				t.Errorf("%s listens on %v: strangers can reach it", app.Name, port)
			}
		}
		for _, target := range app.Targets {
			if ip, err := netip.ParseAddr(target.Address.Host); err != nil || !ip.IsLoopback() {
				t.Errorf("%s forwards to %v", app.Name, target.Address)
			}
		}
	}
	settings := DefaultSettings()
	for _, app := range c.Apps {
		if app.Settings != settings {
			t.Errorf("%s shows other settings than the defaults: -default +shown:\n%s", app.Name, cmp.Diff(settings, app.Settings))
		}
	}
}
