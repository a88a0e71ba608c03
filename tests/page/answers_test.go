package page

import (
	"fmt"
	"slices"
	"time"

	"tcp-proxy/internal/proxy"
)

// night is when the answers are of.
var night = time.Date(2024, 3, 1, 3, 12, 0, 0, time.UTC)

// calm is a proxy with which all is well: three apps, six targets.
func calm() proxy.Snapshot {
	return proxy.Snapshot{
		Version: proxy.SnapshotVersion, Hostname: "lb1.example.net", ProgramVersion: "1.2.3", Taken: night, Started: night.Add(-52 * time.Hour), State: proxy.Serving, Engine: "loop",
		Workers: proxy.Workers{Busy: 1034, Max: 10000, Paused: map[string]uint64{}},
		Reloads: proxy.Reloads{Succeeded: 3, LastSuccess: night.Add(-3 * time.Hour)},
		Names: []proxy.Name{{
			Name: "db.internal", Addresses: []string{"10.0.1.1", "10.0.1.2"}, Refreshed: night.Add(-12 * time.Second), Expires: night.Add(18 * time.Second),
		}},
		Apps: []proxy.App{
			app("web", []string{"5001", "5002"}, 800, target("10.0.0.1:80"), target("10.0.0.2:80"), target("10.0.0.3:80")),
			app("db", []string{"127.0.0.1:5432"}, 34, named("db.internal:5432", "10.0.1.1:5432"), named("db.internal:5432", "10.0.1.2:5432")),
			app("cache", []string{"unix:/run/cache.sock"}, 200, target("unix:/run/redis.sock")),
		},
		Events: []proxy.Event{
			{Number: 1, Time: night.Add(-52 * time.Hour), Kind: proxy.EventStarted, Text: "started with 3 apps, 4 ports, 5 targets"},
			{Number: 2, Time: night.Add(-3 * time.Hour), Kind: proxy.EventReloaded, Text: "reloaded: changed web: targets"},
		},
	}
}

// trouble is that proxy, and most things that go wrong with one.
func trouble() proxy.Snapshot {
	s := calm()
	s.Reloads.Refused, s.Reloads.Problem = 1, `/etc/tcp-proxy/config.json:14:9: apps[0].ports[1]: 70000 is not a port: ports are 1 to 65535`
	kill(&s.Apps[0].Targets[1], night.Add(-3*time.Minute), "connect: connection refused", 8)
	kill(&s.Apps[2].Targets[0], night.Add(-40*time.Second), "connect: no such file or directory", 12)
	s.Apps[0].Targets[2].State, s.Apps[0].Targets[2].Since = "draining", night.Add(-20*time.Minute)
	s.Apps[0].Targets[2].Reason = "drained by the operator"
	s.Apps[1].Ports[0].Problem = "accept4: too many open files"
	s.Apps[0].Refused = map[string]uint64{"max_sessions_per_source": 12}
	s.Apps[0].Ended["limited"] = 12
	s.Apps[0].Sources = 77
	s.Names[0].Problem, s.Names[0].Since = "lookup db.internal on 10.0.0.53:53: server misbehaving", night.Add(-5*time.Minute)
	s.Events = append(s.Events,
		proxy.Event{Number: 3, Time: night.Add(-20 * time.Minute), Kind: proxy.EventTargetDrained, App: "web", Target: "10.0.0.3:80", Text: "target is draining", Reason: "drained by the operator"},
		proxy.Event{Number: 4, Time: night.Add(-5 * time.Minute), Kind: proxy.EventNameFailing, Target: "db.internal:5432", Text: "name lookup failed", Reason: "server misbehaving"},
		proxy.Event{Number: 5, Time: night.Add(-3 * time.Minute), Kind: proxy.EventTargetDead, App: "web", Target: "10.0.0.2:80", Text: "target is dead", Reason: "connect: connection refused"},
		proxy.Event{Number: 6, Time: night.Add(-2 * time.Minute), Kind: proxy.EventReloadRefused, Text: "reload refused", Reason: s.Reloads.Problem},
		proxy.Event{Number: 7, Time: night.Add(-90 * time.Second), Kind: proxy.EventAcceptFailing, App: "db", Port: "127.0.0.1:5432", Text: "accept failed; retrying with back-off", Reason: "accept4: too many open files"},
		proxy.Event{Number: 8, Time: night.Add(-40 * time.Second), Kind: proxy.EventTargetDead, App: "cache", Target: "unix:/run/redis.sock", Text: "target is dead", Reason: "connect: no such file or directory"},
	)
	return s
}

// crowd is a proxy with that many apps, each with that many targets. Every 50th app has a dead target, the first to the
// last in turn.
func crowd(apps, targets int) proxy.Snapshot {
	s := calm()
	s.Names, s.Apps, s.Workers.Busy, s.Workers.Max = nil, nil, 0, 500_000
	s.Events = s.Events[:1]
	s.Events[0].Text = fmt.Sprintf("started with %d apps, %d ports, %d targets", apps, apps, apps*targets)
	for i := range apps {
		a := app(fmt.Sprintf("app-%04d", i), []string{fmt.Sprint(10000 + i)}, int64(i%97))
		for j := range targets {
			t := target(fmt.Sprintf("10.%d.%d.%d:80", i/250, i%250, j+1))
			t.Active, t.Sessions = int64((i*7+j*13)%101), uint64(i*targets+j)
			if i%50 == 7 && j == i/50%targets {
				kill(&t, night.Add(-time.Duration(i)*time.Second), "connect: connection refused", 5)
				s.Events = slices.Insert(s.Events, 1, proxy.Event{
					Number: uint64(2 + (apps-1)/50 - i/50), Time: t.Since, Kind: proxy.EventTargetDead, App: a.Name, Target: t.Name, Text: "target is dead", Reason: t.Reason,
				})
			}
			a.Targets = append(a.Targets, t)
		}
		s.Apps = append(s.Apps, a)
		s.Workers.Busy += int(a.Active)
	}
	return s
}

func app(name string, ports []string, active int64, targets ...proxy.Target) proxy.App {
	a := proxy.App{
		Name: name, Balance: "round_robin", Active: active, Targets: targets, Refused: map[string]uint64{},
		Ended:  map[string]uint64{"client_closed": 41_000, "target_closed": 7_000, "idle_timeout": 12},
		Upload: 1 << 32, Download: 1 << 36,
	}
	for _, port := range ports {
		a.Ports = append(a.Ports, proxy.Port{Name: port})
	}
	return a
}

func target(address string) proxy.Target {
	return proxy.Target{
		Name: address, Address: address, State: "alive", Since: night.Add(-50 * time.Hour), Weight: 1, Active: 20, Sessions: 16_000,
		Failures: map[string]uint64{}, Connect: 0.0004, Upload: 2e8, Download: 3e9,
	}
}

// named is a target that a name gave.
func named(name, address string) proxy.Target {
	t := target(name)
	t.Name = name + "/" + address[:len(address)-len(":5432")]
	t.Probe = &proxy.Probe{Passed: 900, Failed: 2, Last: night.Add(-2 * time.Second)}
	return t
}

func kill(t *proxy.Target, since time.Time, reason string, retry float64) {
	t.State, t.Since, t.Reason, t.Retry = "dead", since, reason, retry
	t.Failures = map[string]uint64{"refused": 7, "timeout": 1}
	t.Active = 0
}

// later is an answer some time after another.
func later(s proxy.Snapshot, by time.Duration) proxy.Snapshot {
	s.Taken = s.Taken.Add(by)
	return s
}
