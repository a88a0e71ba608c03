package config

import "time"

// Every built-in default stands in this file. The decoder starts from these values, and the schema and Keys show them.

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

// DefaultSettings returns the settings of an app that says nothing, under a file without "defaults".
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

// DefaultHTTPProbe returns an HTTP probe that says nothing of its own.
func DefaultHTTPProbe() HTTPProbe {
	return HTTPProbe{Path: "/", Low: 200, High: 399}
}

// DefaultTarget returns a target that is an address and nothing more.
func DefaultTarget() Target {
	return Target{Weight: 1}
}
