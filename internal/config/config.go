// Package config is the configuration: its types and defaults, the decoding and checking of a file, and its JSON Schema.
// Only Load and Sum do I/O, and nothing opens sockets.
//
// A configuration is plain data: every type below is comparable or a slice of comparable values, so two configurations, or
// two parts of them, are equal exactly if == or slices.Equal says so.
package config

import (
	"crypto/sha256"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// Config is a complete configuration: every default is filled in, and all rules that Parse checks hold.
//
// A Config that was not parsed from a file has no lines and columns, see Errorf and PortPath.
type Config struct {
	MaxWorkers   int           `json:"max_workers" min:"1" max:"1000000"`  // the pool: how many sessions may be open at once
	Engine       string        `json:"engine" enum:"loop,copy"`            // EngineCopy or EngineLoop
	DrainTimeout time.Duration `json:"drain_timeout" min:"0s" max:"8760h"` // on stop: how long open sessions may go on; 0 ends them at once
	Reload       string        `json:"reload" enum:"signal,auto"`          // ReloadSignal or ReloadAuto
	Log          Log           `json:"log"`
	Admin        Admin
	Apps         []App

	files    *files // nil in a Config built by hand
	sum      [sha256.Size]byte
	elements [][]int // per app and port: the element of the file's "ports" that it came from

	overrides []Overridden
}

// The engines: EngineCopy relays with io.Copy and one goroutine for each direction; EngineLoop has one event loop for each
// processor.
const (
	EngineCopy = "copy"
	EngineLoop = "loop"
)

// When the file is read again: ReloadSignal is on SIGHUP or a command only; ReloadAuto is also when the file changes.
const (
	ReloadSignal = "signal"
	ReloadAuto   = "auto"
)

// Admin is the configuration of the admin API.
type Admin struct {
	Listen []AdminAddress
}

// AdminAddress is an address where the admin API listens.
type AdminAddress struct {
	Network string         // "tcp" or "unix"
	Addr    netip.AddrPort // tcp: always with an IP address
	Path    string         // unix: an absolute path
}

// String returns the address as in a configuration file: "127.0.0.1:9901" or "unix:/run/tcp-proxy/admin.sock".
func (a AdminAddress) String() string { return Port(a).String() }

// Log is the configuration of the log.
type Log struct {
	Level    string `json:"level" enum:"trace,debug,info,warning,error" alias:"warn=warning"` // trace, debug, info, warning or error
	Format   string `json:"format" enum:"auto,journal,text,json"`                             // auto, journal, text or json
	Sessions OneIn  `json:"sessions" min:"1" max:"1000000"`                                   // one in how many normal ends of sessions is logged
}

// OneIn means one in N; 0: none.
type OneIn int

// App is a named set of ports and targets with one policy.
type App struct {
	Name    string // unique; "port-" and the first port if the file gives none
	Ports   []Port
	Targets []Target
	Settings
}

// Settings are the policy of an app; "defaults" in the file sets them for every app that does not set its own.
type Settings struct {
	Balance            string        `json:"balance" enum:"round_robin,least_sessions,random,source_hash,first,nearest"` // one of the Balance constants
	ConnectTimeout     time.Duration `json:"connect_timeout" min:"1ms" max:"1h"`                                         // for one attempt to connect to one target
	ConnectAttempts    int           `json:"connect_attempts" min:"0" max:"10000"`                                       // targets tried for one session; 0: every target once
	RetryDeadAfter     time.Duration `json:"retry_dead_after" min:"1ms" max:"24h"`                                       // without probes, a dead target gets a half-open trial after this; doubles up to 10 times this
	IdleTimeout        time.Duration `json:"idle_timeout" min:"0s" max:"8760h"`                                          // ends a session in which no byte moved in either direction for this long; 0: never
	HalfCloseTimeout   time.Duration `json:"half_close_timeout" min:"0s" max:"8760h"`                                    // the same after one side has finished; 0: never
	MaxSessionDuration time.Duration `json:"max_session_duration" min:"0s" max:"8760h"`                                  // ends a session after this time, even if it is busy; 0: never
	Keepalive          Keepalive     `json:"keepalive"`

	Allow                      Networks `json:"allow" min:"0" max:"10000"`                            // clients that may connect; empty: all
	Deny                       Networks `json:"deny" min:"0" max:"10000"`                             // clients that may not connect, even if Allow contains them
	MaxSessions                int      `json:"max_sessions" min:"0" max:"1000000"`                   // open at once; 0: no limit
	MaxSessionsPerSource       int      `json:"max_sessions_per_source" min:"0" max:"1000000"`        // the same for one client address, or IPv6 /64; 0: no limit
	SessionsPerSecond          int      `json:"sessions_per_second" min:"0" max:"1000000"`            // accepted; 0: no limit
	SessionsPerSecondPerSource int      `json:"sessions_per_second_per_source" min:"0" max:"1000000"` // the same for one client address, or IPv6 /64; 0: no limit

	BytesPerSecond      BytesPerSecond      `json:"bytes_per_second"`
	AcceptProxyProtocol AcceptProxyProtocol `json:"accept_proxy_protocol"`
	SendProxyProtocol   string              `json:"send_proxy_protocol" enum:",v1,v2"` // "", ProxyV1 or ProxyV2
	SourceAddress       netip.Addr          `json:"source_address"`                    // local address of target connections; the zero Addr: the kernel chooses

	Probe  Probe  `json:"probe"`
	OnDead string `json:"on_dead" enum:"keep,close"` // OnDeadKeep or OnDeadClose
}

// The balancers: how a target is chosen.
const (
	BalanceRoundRobin    = "round_robin"    // in turn, smoothly by weight
	BalanceLeastSessions = "least_sessions" // the one with the fewest open sessions for its weight
	BalanceRandom        = "random"         // the less busy of two drawn by weight
	BalanceSourceHash    = "source_hash"    // by the client's address: consistent, the same on every node
	BalanceFirst         = "first"          // the first one in the file that can take the session
	BalanceNearest       = "nearest"        // the one that connects fastest
)

// BytesPerSecond limits the bandwidth of a session. 0 is no limit.
type BytesPerSecond struct {
	Upload   int `json:"upload" min:"0" max:"100000000000"`   // client to target
	Download int `json:"download" min:"0" max:"100000000000"` // target to client
}

// AcceptProxyProtocol says which peers must send a PROXY protocol header, version 1 or 2, that names the client. If From is
// empty, none must.
type AcceptProxyProtocol struct {
	From    Networks      `json:"from" min:"1" max:"10000"`
	Timeout time.Duration `json:"timeout" min:"1ms" max:"1h"` // until the header is complete
}

// The versions of the PROXY protocol header to targets.
const (
	ProxyV1 = "v1"
	ProxyV2 = "v2"
)

// Probe is how targets are probed.
type Probe struct {
	When     string        `json:"when" enum:"dead,always,never"` // ProbeDead, ProbeAlways or ProbeNever
	Interval time.Duration `json:"interval" min:"10ms" max:"24h"`
	Timeout  time.Duration `json:"timeout" min:"1ms" max:"1h"` // may be longer than Interval
	Rise     int           `json:"rise" min:"1" max:"100"`     // consecutive successes after which a dead target is alive again
	Fall     int           `json:"fall" min:"1" max:"100"`     // consecutive failures after which a target is dead
	Port     int           `json:"port" min:"0" max:"65535"`   // instead of the target's port; 0: the target's port
	Send     string        `json:"send" min:"0" max:"4096"`    // bytes, with the escapes of the file decoded; "": nothing
	Expect   string        `json:"expect" min:"0" max:"4096"`  // bytes that the answer must begin with; "": no answer is expected
	HTTP     HTTPProbe     `json:"http"`
}

// HTTPProbe is a GET request whose response must have a status in a range. The zero value is no HTTP probe; otherwise Send
// and Expect are empty.
type HTTPProbe struct {
	Path      string
	Low, High int // inclusive
}

// When targets are probed.
const (
	ProbeDead   = "dead"   // while they are dead
	ProbeAlways = "always" // always
	ProbeNever  = "never"
)

// What happens to the open sessions of a target that a probe finds dead.
const (
	OnDeadKeep  = "keep"
	OnDeadClose = "close"
)

// Keepalive is TCP keepalive on both sockets of a session (tcp(7): TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT), in whole
// seconds. The zero value is off.
type Keepalive struct {
	Enabled  bool
	Idle     time.Duration `json:"idle" min:"1s" max:"32767s" unit:"1s"`
	Interval time.Duration `json:"interval" min:"1s" max:"32767s" unit:"1s"`
	Count    int           `json:"count" min:"1" max:"127"`
}

// Port is one listening socket of an app.
type Port struct {
	Network string         // "tcp", "unix" or "systemd"
	Addr    netip.AddrPort // tcp; with the zero IP: every address, IPv4 and IPv6
	Path    string         // unix: an absolute path; systemd: the name of the passed sockets
}

// String returns the port as in a configuration file: "5001", "127.0.0.1:5300", "[::1]:5400", "unix:/run/web.sock" or
// "systemd:web".
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

// Target is one target in the file; a name stands for as many targets as it has addresses.
type Target struct {
	Address     Address `json:"address"`
	Weight      int     `json:"weight" min:"1" max:"256" zero:": write \"down\": true for a target that takes no sessions"`
	Backup      bool    `json:"backup"`                             // gets sessions only while no other target can take them
	MaxSessions int     `json:"max_sessions" min:"0" max:"1000000"` // 0: no limit
	Down        bool    `json:"down"`                               // gets no sessions
}

// Address is the address of a target.
type Address struct {
	Network string // "tcp", "unix" or "srv"
	Host    string // tcp: an IP address or a name, without brackets; srv: the name of the SRV records
	Port    uint16 // tcp
	Path    string // unix: an absolute path
}

// String returns the address as in a configuration file: "10.0.0.1:80", "[::1]:80", "unix:/run/app.sock" or
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
