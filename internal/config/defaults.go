package config

import "time"

// This file has all built-in defaults. The decoder starts from these values; the schema and Keys show them.

// Default returns the built-in configuration: every default and no app.
func Default() Config {
	return Config{
		MaxWorkers:   50,
		Engine:       EngineLoop,
		DrainTimeout: 0,
		Reload:       ReloadSignal,
		Log:          Log{Level: "info", Format: "auto", Sessions: 1},
	}
}

// DefaultSettings returns the settings of an app without any, in a file without "defaults".
func DefaultSettings() Settings {
	return Settings{
		Balance:          BalanceRoundRobin,
		ConnectTimeout:   5 * time.Second,
		ConnectAttempts:  0,
		RetryDeadAfter:   10 * time.Second,
		IdleTimeout:      0,
		HalfCloseTimeout: 10 * time.Minute,
		Keepalive:        Keepalive{Enabled: true, Idle: 60 * time.Second, Interval: 15 * time.Second, Count: 4},

		AcceptProxyProtocol: AcceptProxyProtocol{Timeout: 3 * time.Second},
		Probe:               Probe{When: ProbeDead, Interval: 5 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3},
		OnDead:              OnDeadKeep,
	}
}

// DefaultHTTPProbe returns the values for an HTTP probe without keys.
func DefaultHTTPProbe() HTTPProbe {
	return HTTPProbe{Path: "/", Low: 200, High: 399}
}

// DefaultTarget returns the values for a target with nothing but an address.
func DefaultTarget() Target {
	return Target{Weight: 1}
}
