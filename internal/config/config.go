// Package config holds what the operator asked for: its types, their defaults, how a file is decoded and checked, and
// the JSON Schema that says the same. It does no I/O but Load, and knows nothing of sockets.
//
// A configuration is plain data. Every type below is comparable or a slice of comparable values, so two
// configurations, or two parts of them, are equal exactly when == or slices.Equal says so.
package config

import (
	"net"
	"net/netip"
	"strconv"
	"time"
)

// Config is one complete configuration: every default is filled in and every rule of Parse holds.
//
// A Config may also be built by hand. It then has no places to give: see Errorf and PortPath.
type Config struct {
	MaxWorkers   int           `json:"max_workers" min:"1" max:"1000000"`  // the pool: how many sessions may be open at once
	Engine       string        `json:"engine" enum:"loop,copy"`            // EngineCopy or EngineLoop
	DrainTimeout time.Duration `json:"drain_timeout" min:"0s" max:"8760h"` // on stop: how long open sessions may go on; 0 ends them at once
	Reload       string        `json:"reload" enum:"signal,auto"`          // ReloadSignal or ReloadAuto
	Log          Log           `json:"log"`
	Admin        Admin
	Apps         []App

	source   *source // nil in a Config built by hand
	elements [][]int // per app and port: the element of the file's "ports" that it came from
}

// The engines: EngineCopy relays with io.Copy, one goroutine a direction; EngineLoop has one event loop for each
// processor.
const (
	EngineCopy = "copy"
	EngineLoop = "loop"
)

// What brings a change of the file into force: ReloadSignal is SIGHUP or an order alone; ReloadAuto is also the change.
const (
	ReloadSignal = "signal"
	ReloadAuto   = "auto"
)

// Admin says where the proxy can be looked at and told what to do.
type Admin struct {
	Listen []AdminAddress
}

// AdminAddress is one place where the admin API is served.
type AdminAddress struct {
	Network string         // "tcp" or "unix"
	Addr    netip.AddrPort // tcp: always with an IP address
	Path    string         // unix: an absolute path
}

// String gives the address as a configuration file names it: "127.0.0.1:9901" or "unix:/run/tcp-proxy/admin.sock".
func (a AdminAddress) String() string { return Port(a).String() }

// Log says what is logged and how.
type Log struct {
	Level    string `json:"level" enum:"trace,debug,info,warning,error" alias:"warn=warning"` // trace, debug, info, warning or error
	Format   string `json:"format" enum:"auto,journal,text,json"`                             // auto, journal, text or json
	Sessions OneIn  `json:"sessions" min:"1" max:"1000000"`                                   // how many sessions that end well there are for one record
}

// OneIn is how many of something there are for one that is told of; 0: none is.
type OneIn int

// App is a named set of ports and targets with one policy.
type App struct {
	Name    string // unique; "port-" and the first port if the file gives none
	Ports   []Port
	Targets []Target
	Settings
}

// Settings are what an app can be told beside its name, ports and targets; the file's "defaults" gives them for
// every app that does not say otherwise.
type Settings struct {
	Balance            string        `json:"balance" enum:"round_robin,least_sessions,random,source_hash,first,nearest"` // one of the Balance constants
	ConnectTimeout     time.Duration `json:"connect_timeout" min:"1ms" max:"1h"`                                         // for one attempt to connect to one target
	ConnectAttempts    int           `json:"connect_attempts" min:"0" max:"10000"`                                       // targets tried for one session; 0: every target once
	RetryDeadAfter     time.Duration `json:"retry_dead_after" min:"1ms" max:"24h"`                                       // without probes, a dead target gets one trial connection after this; doubles up to 10 times this
	IdleTimeout        time.Duration `json:"idle_timeout" min:"0s" max:"8760h"`                                          // ends a session in which no byte moved either way for this long; 0: never
	HalfCloseTimeout   time.Duration `json:"half_close_timeout" min:"0s" max:"8760h"`                                    // the same once one side has finished; 0: never
	MaxSessionDuration time.Duration `json:"max_session_duration" min:"0s" max:"8760h"`                                  // ends a session, whatever it does; 0: never
	Keepalive          Keepalive     `json:"keepalive"`

	Allow                      Networks `json:"allow" min:"0" max:"10000"`                            // clients that may come in; none is everybody
	Deny                       Networks `json:"deny" min:"0" max:"10000"`                             // clients that may not, whatever Allow says
	MaxSessions                int      `json:"max_sessions" min:"0" max:"1000000"`                   // open at once; 0: no limit
	MaxSessionsPerSource       int      `json:"max_sessions_per_source" min:"0" max:"1000000"`        // the same for one client address, or IPv6 /64; 0: no limit
	SessionsPerSecond          int      `json:"sessions_per_second" min:"0" max:"1000000"`            // accepted; 0: no limit
	SessionsPerSecondPerSource int      `json:"sessions_per_second_per_source" min:"0" max:"1000000"` // the same for one client address, or IPv6 /64; 0: no limit

	BytesPerSecond      BytesPerSecond      `json:"bytes_per_second"`
	AcceptProxyProtocol AcceptProxyProtocol `json:"accept_proxy_protocol"`
	SendProxyProtocol   string              `json:"send_proxy_protocol" enum:",v1,v2"` // "", ProxyV1 or ProxyV2
	SourceAddress       netip.Addr          `json:"source_address"`                    // local address of target connections; the zero Addr leaves it to the kernel

	Probe  Probe  `json:"probe"`
	OnDead string `json:"on_dead" enum:"keep,close"` // OnDeadKeep or OnDeadClose
}

// How a target is chosen.
const (
	BalanceRoundRobin    = "round_robin"    // in turn, smoothly by weight
	BalanceLeastSessions = "least_sessions" // the one with the fewest open sessions for its weight
	BalanceRandom        = "random"         // the less busy of two drawn by weight
	BalanceSourceHash    = "source_hash"    // by the client's address: consistent, the same on every node
	BalanceFirst         = "first"          // the first in the order of the file that can take the session
	BalanceNearest       = "nearest"        // the one that connects fastest
)

// BytesPerSecond bounds one session. 0 is no limit.
type BytesPerSecond struct {
	Upload   int `json:"upload" min:"0" max:"100000000000"`   // client to target
	Download int `json:"download" min:"0" max:"100000000000"` // target to client
}

// AcceptProxyProtocol says which peers have to begin with a PROXY protocol header, version 1 or 2, that names the
// client. An empty From is none.
type AcceptProxyProtocol struct {
	From    Networks      `json:"from" min:"1" max:"10000"`
	Timeout time.Duration `json:"timeout" min:"1ms" max:"1h"` // for the header to be complete
}

// The versions of the PROXY protocol that a target can be sent.
const (
	ProxyV1 = "v1"
	ProxyV2 = "v2"
)

// Probe is how targets are checked.
type Probe struct {
	When     string        `json:"when" enum:"dead,always,never"` // ProbeDead, ProbeAlways or ProbeNever
	Interval time.Duration `json:"interval" min:"10ms" max:"24h"`
	Timeout  time.Duration `json:"timeout" min:"1ms" max:"1h"` // may be longer than Interval
	Rise     int           `json:"rise" min:"1" max:"100"`     // successes in a row that bring a dead target back
	Fall     int           `json:"fall" min:"1" max:"100"`     // failures in a row that make a live one dead
	Port     int           `json:"port" min:"0" max:"65535"`   // to connect to instead of the target's own; 0: the target's own
	Send     string        `json:"send" min:"0" max:"4096"`    // bytes, after the escapes of the file are undone; "": nothing
	Expect   string        `json:"expect" min:"0" max:"4096"`  // bytes that the answer begins with; "": nothing is waited for
	HTTP     HTTPProbe     `json:"http"`
}

// HTTPProbe is a GET whose answer has a status in a range. The zero value is none; with one, Send and Expect are empty.
type HTTPProbe struct {
	Path      string
	Low, High int // inclusive
}

// When targets are probed.
const (
	ProbeDead   = "dead"   // from when they are dead until they are back
	ProbeAlways = "always" // all the time
	ProbeNever  = "never"
)

// What becomes of the open sessions of a target that a probe finds dead.
const (
	OnDeadKeep  = "keep"
	OnDeadClose = "close"
)

// Keepalive is TCP keepalive on both sockets of a session (tcp(7): TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT), in
// whole seconds. The zero value is off.
type Keepalive struct {
	Enabled  bool
	Idle     time.Duration `json:"idle" min:"1s" max:"32767s" unit:"1s"`
	Interval time.Duration `json:"interval" min:"1s" max:"32767s" unit:"1s"`
	Count    int           `json:"count" min:"1" max:"127"`
}

// Port is one listening socket of an app.
type Port struct {
	Network string         // "tcp", "unix" or "systemd"
	Addr    netip.AddrPort // tcp: where to listen; an invalid Addr is every address, IPv4 and IPv6
	Path    string         // unix: an absolute path; systemd: the name of the sockets that it hands over
}

// String gives the port as a configuration file names it: "5001", "127.0.0.1:5300", "[::1]:5400",
// "unix:/run/web.sock" or "systemd:web".
func (p Port) String() string {
	switch {
	case p.Network != "tcp":
		return p.Network + ":" + p.Path
	case !p.Addr.Addr().IsValid():
		return strconv.Itoa(int(p.Addr.Port()))
	default:
		return p.Addr.String()
	}
}

// Target is what an app's connections can go to: one place, or as many as its name has addresses.
type Target struct {
	Address     Address `json:"address"`
	Weight      int     `json:"weight" min:"1" max:"256" nought:": write \"down\": true for a target that takes no sessions"`
	Backup      bool    `json:"backup"`                             // takes sessions only while no other target can
	MaxSessions int     `json:"max_sessions" min:"0" max:"1000000"` // 0: no limit
	Down        bool    `json:"down"`                               // takes no sessions at all
}

// Address is where a target is.
type Address struct {
	Network string // "tcp", "unix" or "srv"
	Host    string // tcp: an IP address or a name, without brackets; srv: the name that has SRV records
	Port    uint16 // tcp
	Path    string // unix: an absolute path
}

// String gives the address as a configuration file names it: "10.0.0.1:80", "[::1]:80", "unix:/run/app.sock" or
// "srv:_web._tcp.example.internal".
func (a Address) String() string {
	switch a.Network {
	case "unix":
		return "unix:" + a.Path
	case "srv":
		return "srv:" + a.Host
	}
	return net.JoinHostPort(a.Host, strconv.Itoa(int(a.Port)))
}
