package harness

import "encoding/json"

// Config is a configuration as the operator writes it. What is left out keeps its default.
type Config struct {
	MaxWorkers   int    `json:"max_workers,omitempty"`
	Engine       string `json:"engine,omitempty"`
	DrainTimeout string `json:"drain_timeout,omitempty"`
	Log          any    `json:"log,omitempty"`
	Defaults     any    `json:"defaults,omitempty"`
	Apps         []App  `json:"apps"`
}

// App is one app of it. Without ports, Rig.Start gives it one.
type App struct {
	Name             string `json:"name,omitempty"`
	Ports            []any  `json:"ports"`
	Targets          []any  `json:"targets"` // addresses or TargetConfig
	ConnectTimeout   string `json:"connect_timeout,omitempty"`
	ConnectAttempts  int    `json:"connect_attempts,omitempty"`
	RetryDeadAfter   string `json:"retry_dead_after,omitempty"`
	IdleTimeout      string `json:"idle_timeout,omitempty"`
	HalfCloseTimeout string `json:"half_close_timeout,omitempty"`
	Keepalive        any    `json:"keepalive,omitempty"`
}

// TargetConfig is a target with settings of its own.
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
