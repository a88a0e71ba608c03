package soak

import (
	"fmt"

	"tcp-proxy/tests/harness"
)

// config draws a configuration: of all that a reload may change, and that costs nobody a session that is not
// refused. With extra, apps have their second ports.
func (s *soak) config(extra bool) harness.Config {
	c := harness.Config{
		MaxWorkers: 150 + s.random.IntN(3)*50,
		Admin:      &harness.Admin{Listen: []string{s.admin, "unix:" + s.socket}},
		Apps:       []harness.App{s.plain(), s.headers(), s.limited(), s.mortals()},
	}
	for i := range c.Apps {
		for n, port := range s.ports[c.Apps[i].Name] {
			if n == 0 || extra {
				c.Apps[i].Ports = append(c.Apps[i].Ports, port)
			}
		}
	}
	return c
}

func (s *soak) app(name string) harness.App {
	app := harness.App{Name: name, ConnectTimeout: "30s", RetryDeadAfter: "50ms", IdleTimeout: "2m", HalfCloseTimeout: "2m",
		Balance: []string{"round_robin", "least_sessions", "random", "source_hash", "first", "nearest"}[s.random.IntN(6)],
		Probe:   &harness.Probe{Interval: "50ms", Timeout: "10s", Rise: 1}}
	if s.random.IntN(4) == 0 {
		app.BytesPerSecond = &harness.BytesPerSecond{Upload: 20_000_000, Download: 10_000_000 + s.random.IntN(50_000_000)}
	}
	return app
}

func (s *soak) plain() harness.App {
	app := s.app("plain")
	for i, target := range s.targets {
		if target.configured {
			c := harness.TargetConfig{Address: target.Address, Weight: 1 + s.random.IntN(4)}
			if i > 0 && s.random.IntN(4) == 0 {
				c.MaxSessions = 1 + s.random.IntN(20)
			}
			c.Backup = i > 0 && s.random.IntN(6) == 0
			app.Targets = append(app.Targets, c)
		}
	}
	return app
}

func (s *soak) headers() harness.App {
	app := s.app("headers")
	app.Targets = harness.To(s.told...)
	app.SendProxyProtocol = fmt.Sprintf("v%d", 1+s.random.IntN(2))
	app.AcceptProxyProtocol = &harness.AcceptProxyProtocol{From: []string{"127.0.0.0/8"}, Timeout: "30s"}
	return app
}

func (s *soak) limited() harness.App {
	app := s.app("limited")
	app.Targets = harness.To(s.targets[0].Target)
	app.MaxSessions = []int{0, 2, 5}[s.random.IntN(3)]
	app.MaxSessionsPerSource = []int{0, 1, 3}[s.random.IntN(3)]
	app.SessionsPerSecond = []int{0, 10, 100}[s.random.IntN(3)]
	app.SessionsPerSecondPerSource = []int{0, 5, 50}[s.random.IntN(3)]
	if s.random.IntN(4) == 0 {
		app.Deny = []string{s.hosts[0]}
	}
	return app
}

func (s *soak) mortals() harness.App {
	app := s.app("mortal")
	app.Targets = harness.To(s.mortal...)
	return app
}
