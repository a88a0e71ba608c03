// Package fakenode has a node that is none: it shows apps, targets, sessions and trouble that move as time goes by, for
// tests of what shows them, and for people who work on the status page (see serve).
package fakenode

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/meter"
	"tcp-proxy/internal/proxy"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/upstream"
)

// Node implements admin.Node. Its figures follow from the time since it was made: the same time gives the same figures.
// Times have no monotonic part, so that they are what their JSON is.
type Node struct {
	Reloaded func() (proxy.Changes, error) // what a reload comes to; nil: nothing has changed

	Config *config.Config // the active one, read from File; nil: a small one
	File   string

	started       time.Time
	apps, targets int

	mu       sync.Mutex // guards what follows
	stage    proxy.Stage
	drained  map[[2]string]time.Time // by app and target, since when
	reloads  proxy.Reloads
	happened []proxy.Event
	sessions []proxy.Session
	level    proxy.LogLevel
}

// New makes a node with that many apps, each with that many targets.
func New(apps, targets int) *Node {
	n := &Node{
		started: time.Now().Round(0), apps: apps, targets: targets,
		stage: proxy.Serving, drained: map[[2]string]time.Time{},
		level:   proxy.LogLevel{Level: "info"},
		reloads: proxy.Reloads{Succeeded: 1, LastSuccess: time.Now().Round(0)},
	}
	n.happen(proxy.Event{Kind: proxy.EventStarted, Text: "accepting on every port"})
	return n
}

// configText is the configuration that every node says it runs.
const configText = `{
  // Three of the apps.
  "admin": {"listen": ["unix:/run/tcp-proxy/admin.sock"]},
  "apps": [
    {"name": "web", "ports": [5001, "127.0.0.1:10000"], "targets": ["10.0.0.1:80", "10.0.0.2:80"]},
    {"name": "database", "ports": [5002], "targets": ["10.0.1.1:80"], "probe": {"send": "AUTH secret\r\n", "expect": "+OK"}},
  ],
}
`

// Running implements admin.Node.
func (n *Node) Running() proxy.Running {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.Config == nil {
		var err error
		if n.Config, err = config.Parse("/etc/tcp-proxy/config.json", []byte(configText)); err != nil {
			panic(err)
		}
	}
	return proxy.Running{Config: n.Config, File: n.File, Since: n.reloads.LastSuccess}
}

// Set has the node be at a stage.
func (n *Node) Set(stage proxy.Stage) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stage = stage
}

// Stage implements admin.Node.
func (n *Node) Stage() proxy.Stage {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stage
}

// Reload implements admin.Node.
func (n *Node) Reload(context.Context) (proxy.Changes, error) {
	changes, err := proxy.Changes{Added: []string{}, Removed: []string{}, Changed: []string{}, Global: []string{}}, error(nil)
	if n.Reloaded != nil {
		changes, err = n.Reloaded()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err != nil {
		n.reloads.Refused++
		n.reloads.Problem = err.Error()
		n.happen(proxy.Event{Kind: proxy.EventReloadRefused, Text: "reload refused", Reason: err.Error()})
		return changes, err
	}
	n.reloads.Succeeded++
	n.reloads.LastSuccess, n.reloads.Problem = time.Now(), ""
	n.happen(proxy.Event{Kind: proxy.EventReloaded, Text: "reloaded: " + changes.String()})
	return changes, nil
}

// Drain implements admin.Node.
func (n *Node) Drain(on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stage = proxy.Serving
	text := "no longer draining: ready"
	if on {
		n.stage, text = proxy.Draining, "draining: still serving, but reporting not ready"
	}
	n.happen(proxy.Event{Kind: proxy.EventDraining, Text: text})
}

// DrainTarget implements admin.Node.
func (n *Node) DrainTarget(app, name string, on bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for a := range n.apps {
		if appName(a) != app {
			continue
		}
		for t := range n.targets {
			if targetName(a, t) != name {
				continue
			}
			delete(n.drained, [2]string{app, name})
			text := "target takes new sessions again"
			if on {
				n.drained[[2]string{app, name}] = time.Now()
				text = "target is draining: it takes no new sessions"
			}
			n.happen(proxy.Event{Kind: proxy.EventTargetDrained, App: app, Target: name, Text: text})
			return nil
		}
		return fmt.Errorf("target %q of app %q: %w", name, app, proxy.ErrNoTarget)
	}
	return fmt.Errorf("app %q: %w", app, proxy.ErrNoApp)
}

// Sessions implements admin.Node: of the sessions that were given to SetSessions, those of the app and with the words. Other
// parts of the query do not matter here.
func (n *Node) Sessions(_ context.Context, q proxy.SessionQuery) proxy.Sessions {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := proxy.Sessions{Version: proxy.SessionsVersion, Taken: time.Now().Round(0), Open: len(n.sessions), Sessions: []proxy.Session{}}
	for _, s := range n.sessions {
		text, matches := strings.ToLower(fmt.Sprint(s.ID, " ", s.State, " ", s.App, " ", s.Port, " ", s.Client, " ", s.Target)), q.App == "" || q.App == s.App
		for _, word := range q.Words {
			matches = matches && strings.Contains(text, strings.ToLower(word))
		}
		if !matches {
			continue
		}
		list.Matching++
		if limit := cmp.Or(q.Limit, proxy.DefaultSessions); len(list.Sessions) < limit {
			list.Sessions = append(list.Sessions, s)
		}
	}
	list.LeftOut = list.Matching - len(list.Sessions)
	return list
}

// SetSessions makes these the open sessions.
func (n *Node) SetSessions(sessions ...proxy.Session) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sessions = sessions
}

// Crowd gives n sessions in all states, for SetSessions.
func Crowd(n int) (sessions []proxy.Session) {
	for i := range n {
		age := math.Pow(1.02, float64(n-i)) // seconds
		idle := age / float64(1+i%7)
		s := proxy.Session{
			ID: uint64(1000 + 3*i), State: relay.Progresses[i%len(relay.Progresses)], App: appName(i % 5), Port: fmt.Sprint(5001 + i%5),
			Client: fmt.Sprintf("192.0.2.%d:%d", i%256, 40000+i), Started: time.Now().Add(-time.Duration(age * float64(time.Second))).Round(0), Age: age,
		}
		if s.State == relay.Established || s.State == relay.HalfClosed {
			s.Target, s.Idle, s.Upload, s.Download = targetName(i%5, i%10), &idle, int64(age*100), int64(age*5000)
		}
		sessions = append(sessions, s)
	}
	return sessions
}

// CloseSession implements admin.Node.
func (n *Node) CloseSession(_ context.Context, id uint64) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, s := range n.sessions {
		if s.ID == id {
			n.sessions = slices.Delete(slices.Clone(n.sessions), i, i+1)
			return nil
		}
	}
	return fmt.Errorf("session %d: %w", id, proxy.ErrNoSession)
}

// LogLevel implements admin.Node.
func (n *Node) LogLevel() proxy.LogLevel {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.level
}

// SetLogLevel implements admin.Node.
func (n *Node) SetLogLevel(word string, d time.Duration, by string) error {
	level, d, err := proxy.CheckLogLevel(word, d)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.level = proxy.LogLevel{Level: level, Configured: "info"}
	if d > 0 {
		n.level.Until = time.Now().Add(d).Round(0)
	}
	n.happen(proxy.Event{Kind: proxy.EventLogLevel, Text: "log level is " + level, Reason: "set by " + by})
	return nil
}

// ResetLogLevel implements admin.Node.
func (n *Node) ResetLogLevel(by string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.level = proxy.LogLevel{Level: "info"}
	n.happen(proxy.Event{Kind: proxy.EventLogLevel, Text: "log level is info again, as configured", Reason: "set by " + by})
}

// happen adds an event. The caller holds mu, but in New.
func (n *Node) happen(e proxy.Event) {
	e.Time, e.Number = time.Now().Round(0), uint64(len(n.happened)+1)
	n.happened = append(n.happened, e)
}

func appName(a int) string {
	names := []string{"web", "database", "mail-submission", "cache", "metrics-ingest"}
	if a < len(names) {
		return names[a]
	}
	return fmt.Sprintf("app-%04d", a)
}

// targetName gives targets of every kind: IPv4, IPv6, of a name, and unix.
func targetName(a, t int) string {
	switch {
	case t%10 == 7:
		return fmt.Sprintf("[2001:db8:%x::%x]:8443", a, t)
	case t%10 == 8:
		return fmt.Sprintf("backend-%d.cluster.internal:8443/10.%d.%d.%d:8443", a, 64+a/256, a%256, t)
	case t%10 == 9:
		return fmt.Sprintf("unix:/run/app-%d/backend-%d.sock", a, t)
	}
	return fmt.Sprintf("10.%d.%d.%d:80", a/256, a%256, t+1)
}

// Snapshot implements admin.Node.
func (n *Node) Snapshot() proxy.Snapshot { return n.At(time.Now().Round(0)) }

// At gives the snapshot of a time.
func (n *Node) At(now time.Time) proxy.Snapshot {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := proxy.Snapshot{
		Version: proxy.SnapshotVersion,
		Taken:   now,
		Started: n.started,
		State:   n.stage,
		Engine:  "loop",
		Workers: proxy.Workers{Max: 100000, Paused: map[string]uint64{proxy.PausedWorkers: 2}},
		Reloads: n.reloads,
		Log:     proxy.Log{Level: n.level.Level, Configured: n.level.Configured, Until: n.level.Until},
		Names: []proxy.Name{
			{Name: "backend-0.cluster.internal", Addresses: []string{"10.64.0.8"}, Refreshed: now.Add(-12 * time.Second), Expires: now.Add(18 * time.Second)},
			{Name: "srv:_web._tcp.cluster.internal", Addresses: []string{"10.64.1.8"}, Refreshed: n.started, Expires: n.started,
				Problem: "lookup _web._tcp.cluster.internal: server misbehaving", Since: n.started},
		},
		Apps:   make([]proxy.App, n.apps),
		Events: append([]proxy.Event{}, n.happened[max(0, len(n.happened)-256):]...),
	}
	elapsed := now.Sub(n.started)
	for a := range s.Apps {
		s.Apps[a] = n.app(a, elapsed, now)
		s.Workers.Busy += int(s.Apps[a].Active)
	}
	return s
}

func (n *Node) app(a int, elapsed time.Duration, now time.Time) proxy.App {
	app := proxy.App{
		Name:     appName(a),
		Balance:  []string{"round_robin", "least_sessions", "source_hash"}[a%3],
		Ports:    []proxy.Port{{Name: fmt.Sprint(5001 + a%50000)}, {Name: fmt.Sprintf("127.0.0.1:%d", 10000+a%50000)}},
		Refused:  map[string]uint64{},
		Upload:   int64(elapsed.Seconds() * 2e5 * float64(1+a%7) * wave(elapsed, a)),
		Download: int64(elapsed.Seconds() * 3e6 * float64(1+a%5) * wave(elapsed, a)),
		Ended:    map[string]uint64{},
	}
	if a%5 == 1 {
		app.Limits = &proxy.Limits{MaxSessions: 5000, MaxSessionsPerSource: 50, BytesPerSecond: &proxy.BytesPerSecond{Download: 10_000_000}}
	}
	if a%5 == 3 {
		app.Ports[1].Problem = "accept: too many open files"
		app.Refused["max_sessions_per_source"], app.Sources = uint64(elapsed.Seconds()), 12
	}
	sum := uint64(0)
	for t := range n.targets {
		one := n.target(a, t, elapsed, now)
		app.Active += one.Active
		if one.State != upstream.Down {
			one.Upload, one.Download = app.Upload/int64(n.targets), app.Download/int64(n.targets)
		}
		sum += one.Sessions
		app.Targets = append(app.Targets, one)
	}
	done := sum - min(sum, uint64(app.Active))
	app.Ended["client_closed"], app.Ended["target_closed"], app.Ended["target_reset"] = done*6/10, done*4/10, done/100
	app.Connect, app.Session = spread(done, 2*time.Millisecond), spread(done, 30*time.Second)
	return app
}

func (n *Node) target(a, t int, elapsed time.Duration, now time.Time) proxy.Target {
	one := proxy.Target{
		Name: targetName(a, t), Address: targetName(a, t),
		State: upstream.Alive, Since: n.started, Weight: 1 + t%3, Backup: t%10 == 6,
		Active:   int64(12 * (1 + math.Sin(elapsed.Seconds()/40+float64(a+3*t)))),
		Sessions: uint64(elapsed.Seconds()*float64(3+t%4)) + 20,
		Failures: map[string]uint64{},
		Connect:  0.0008 * float64(1+t) * wave(elapsed, t),
		Probe:    &proxy.Probe{Passed: uint64(elapsed.Seconds() / 5), Last: now.Add(-time.Second)},
	}
	if since, on := n.drained[[2]string{appName(a), one.Name}]; on {
		one.State, one.Since, one.Active = upstream.Draining, since, max(0, 8-int64(now.Sub(since).Seconds()))
		return one
	}
	switch (3*a + t) % 11 {
	case 4: // comes and goes, every half minute
		if phase := int(elapsed.Seconds()) / 30; phase%2 == 0 {
			one.State, one.Since = upstream.Dead, n.started.Add(time.Duration(phase)*30*time.Second)
			one.Reason, one.Active, one.Retry = "connect: connection refused", 0, 4.2
			one.Failures["refused"] = uint64(phase + 3)
			one.Probe.Failed, one.Probe.Problem = 3, "connect: connection refused"
		}
	case 9:
		one.State, one.Active, one.Sessions, one.Probe = upstream.Down, 0, 0, nil
		one.Reason, one.Connect = "down in the configuration", 0
	}
	return one
}

// wave is around 1.
func wave(elapsed time.Duration, shift int) float64 {
	return 1 + 0.2*math.Sin(elapsed.Seconds()/600+float64(shift))
}

// spread gives a histogram of n durations around one.
func spread(n uint64, around time.Duration) meter.Counts {
	var h meter.Histogram
	for i := range 64 {
		h.Add(time.Duration(float64(around) * math.Exp(float64(i-32)/16)))
	}
	c := h.Read()
	c.Total = 0
	for i := range c.Buckets {
		c.Buckets[i] *= n / 64
		c.Total += c.Buckets[i]
	}
	c.Sum = time.Duration(c.Total) * around
	return c
}
