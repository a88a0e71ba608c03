package harness

import "encoding/json"

// Config is a configuration file. Keys that are not set keep their defaults.
type Config struct {
	MaxWorkers   int    `json:"max_workers,omitempty"`
	Engine       string `json:"engine,omitempty"`
	DrainTimeout string `json:"drain_timeout,omitempty"`
	Reload       string `json:"reload,omitempty"`
	Log          any    `json:"log,omitempty"`
	Admin        *Admin `json:"admin,omitempty"`
	Defaults     any    `json:"defaults,omitempty"`
	Apps         []App  `json:"apps"`
}

// Admin is where the admin API listens.
type Admin struct {
	Listen []string `json:"listen"`
}

// App is one app. If it has no ports, Rig.Start assigns one.
type App struct {
	Name             string `json:"name,omitempty"`
	Ports            []any  `json:"ports"`
	Targets          []any  `json:"targets"` // addresses or TargetConfig
	Balance          string `json:"balance,omitempty"`
	ConnectTimeout   string `json:"connect_timeout,omitempty"`
	ConnectAttempts  int    `json:"connect_attempts,omitempty"`
	RetryDeadAfter   string `json:"retry_dead_after,omitempty"`
	IdleTimeout      string `json:"idle_timeout,omitempty"`
	HalfCloseTimeout string `json:"half_close_timeout,omitempty"`
	Keepalive        any    `json:"keepalive,omitempty"`

	MaxSessionDuration         string   `json:"max_session_duration,omitempty"`
	Allow                      []string `json:"allow,omitempty"`
	Deny                       []string `json:"deny,omitempty"`
	MaxSessions                int      `json:"max_sessions,omitempty"`
	MaxSessionsPerSource       int      `json:"max_sessions_per_source,omitempty"`
	SessionsPerSecond          int      `json:"sessions_per_second,omitempty"`
	SessionsPerSecondPerSource int      `json:"sessions_per_second_per_source,omitempty"`

	BytesPerSecond      *BytesPerSecond      `json:"bytes_per_second,omitempty"`
	AcceptProxyProtocol *AcceptProxyProtocol `json:"accept_proxy_protocol,omitempty"`
	SendProxyProtocol   string               `json:"send_proxy_protocol,omitempty"`
	SourceAddress       string               `json:"source_address,omitempty"`

	Probe  *Probe `json:"probe,omitempty"`
	OnDead string `json:"on_dead,omitempty"`
}

// BytesPerSecond is the bandwidth of one session.
type BytesPerSecond struct {
	Upload   int `json:"upload,omitempty"`
	Download int `json:"download,omitempty"`
}

// AcceptProxyProtocol is which peers send a PROXY header.
type AcceptProxyProtocol struct {
	From    []string `json:"from,omitempty"`
	Timeout string   `json:"timeout,omitempty"`
}

// Probe is how targets are probed.
type Probe struct {
	When     string     `json:"when,omitempty"`
	Interval string     `json:"interval,omitempty"`
	Timeout  string     `json:"timeout,omitempty"`
	Rise     int        `json:"rise,omitempty"`
	Fall     int        `json:"fall,omitempty"`
	Port     int        `json:"port,omitempty"`
	Send     string     `json:"send,omitempty"`
	Expect   string     `json:"expect,omitempty"`
	HTTP     *HTTPProbe `json:"http,omitempty"`
}

// HTTPProbe is an HTTP probe.
type HTTPProbe struct {
	Path   string `json:"path,omitempty"`
	Status string `json:"status,omitempty"`
}

// TargetConfig is a target with its own settings.
type TargetConfig struct {
	Address     string `json:"address"`
	Weight      int    `json:"weight,omitempty"`
	Backup      bool   `json:"backup,omitempty"`
	MaxSessions int    `json:"max_sessions,omitempty"`
	Down        bool   `json:"down,omitempty"`
}

// To lists targets by address alone.
func To(targets ...*Target) []any {
	list := make([]any, len(targets))
	for i, target := range targets {
		list[i] = target.Address
	}
	return list
}

func (c Config) encode() ([]byte, error) { return json.MarshalIndent(c, "", "  ") }
