package proxy

import (
	"cmp"
	"slices"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/listen"
	"tcp-proxy/internal/sanitize"
	"tcp-proxy/internal/upstream"
)

// Snapshot returns the current state of the server. First, the engine adds up the bytes of all open sessions
// (relay.Engine.Sample); everything else is read after that, so values that change meanwhile may disagree by a few
// sessions.
func (s *Server) Snapshot() Snapshot {
	s.engine.Sample()
	snapshot := Snapshot{
		Version: SnapshotVersion,
		Engine:  s.name,
		Workers: Workers{Busy: s.workers.Busy(), Max: s.workers.Max(), Paused: map[string]uint64{
			PausedWorkers: s.workers.Paused(),
			PausedError:   s.acceptPauses.Load(),
		}},
		Reloads: s.reloads.read(),
		Log:     s.logState(),
		Names:   s.names(),
		Events:  s.history.read(),

		AdminListen: []string{},
	}
	snapshot.Shortages, snapshot.Lacked = s.shortages.read()
	s.mu.Lock()
	snapshot.Started, snapshot.State = s.started, s.stageLocked()
	if s.cfg != nil { // there is none before Start
		for _, a := range s.cfg.Admin.Listen {
			snapshot.AdminListen = append(snapshot.AdminListen, a.String())
		}
	}
	apps, ports := s.apps, s.portsOf()
	s.mu.Unlock()
	snapshot.Apps = make([]App, len(apps))
	for i, a := range apps {
		snapshot.Apps[i] = a.collect()
		snapshot.Apps[i].Ports = sortPorts(ports[a], a.Ports)
	}
	snapshot.Taken = time.Now()
	return snapshot
}

// portsOf returns the ports of each app, unsorted. The caller holds mu.
func (s *Server) portsOf() map[*app][]Port {
	ports := make(map[*app][]Port, len(s.apps))
	for key, p := range s.ports {
		problem := s.problemOf(p)
		if !p.Inherited {
			if key.Index > 0 {
				continue // it belongs to the first socket of the port
			}
			for i := 1; problem == "" && s.ports[listen.Key{Port: key.Port, Index: i}] != nil; i++ {
				problem = s.problemOf(s.ports[listen.Key{Port: key.Port, Index: i}])
			}
		}
		ports[p.app] = append(ports[p.app], Port{Name: p.Name(), Address: p.Address(), Systemd: p.Inherited, Problem: problem})
	}
	return ports
}

// problemOf returns why accepting on a port fails, or "".
func (s *Server) problemOf(p *port) string {
	problem, _ := s.failing.Load(p.Port)
	text, _ := problem.(string)
	return sanitize.Text(text, maxText)
}

// logState returns the state of the log.
func (s *Server) logState() Log {
	lost, problem := s.log.Lost()
	level := s.LogLevel()
	l := Log{Lost: lost, Level: level.Level, Configured: level.Configured, Until: level.Until}
	if problem != nil {
		l.Problem = sanitize.Text(problem.Error(), maxText)
	}
	return l
}

// Stage returns the stage of the server.
func (s *Server) Stage() Stage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stageLocked()
}

// stageLocked is Stage for callers that hold mu.
func (s *Server) stageLocked() Stage {
	switch {
	case s.stopping.Err() != nil:
		return Stopping
	case s.started.IsZero():
		return Starting
	case s.draining.Load():
		return Draining
	}
	return Serving
}

// sortPorts sorts ports by their order in the configuration; ports that it does not have come last.
func sortPorts(ports []Port, asked []config.Port) []Port {
	position := make(map[string]int, len(asked))
	for i, p := range asked {
		position[p.String()] = i - len(asked)
	}
	slices.SortFunc(ports, func(a, b Port) int {
		return cmp.Or(cmp.Compare(position[a.Name], position[b.Name]), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Address, b.Address))
	})
	return ports
}

// collect returns the state of an app without its ports.
func (a *app) collect() App {
	up, down := a.meter.Bytes()
	c := App{
		Name:     a.Name,
		Balance:  a.Balance,
		Limits:   limitsOf(a.Settings),
		Targets:  []Target{},
		Active:   a.meter.Active(),
		Ended:    a.meter.Causes(),
		Refused:  map[string]uint64{},
		Sources:  a.gate.Sources(),
		Upload:   up,
		Download: down,
		Connect:  a.meter.Connect.Read(),
		Session:  a.meter.Session.Read(),
	}
	for refusal, n := range a.gate.Refused() {
		c.Refused[string(refusal)] = n
	}
	for _, t := range a.targets.All() {
		c.Targets = append(c.Targets, describeTarget(t))
	}
	return c
}

// limitsOf returns the limits of an app; nil if it has none.
func limitsOf(c config.Settings) *Limits {
	l := Limits{
		MaxSessions:                c.MaxSessions,
		MaxSessionsPerSource:       c.MaxSessionsPerSource,
		SessionsPerSecond:          c.SessionsPerSecond,
		SessionsPerSecondPerSource: c.SessionsPerSecondPerSource,
	}
	if b := BytesPerSecond(c.BytesPerSecond); b != (BytesPerSecond{}) {
		l.BytesPerSecond = &b
	}
	if l == (Limits{}) {
		return nil
	}
	return &l
}

// describeTarget returns the state of a target.
func describeTarget(t *upstream.Target) Target {
	c := t.Condition()
	d := Target{
		Name:        t.Name,
		Address:     t.Address.String(),
		State:       c.State,
		Untested:    c.Untested,
		Since:       c.Since,
		Reason:      sanitize.Text(c.Reason, maxText),
		Weight:      t.Weight,
		Backup:      t.Backup,
		MaxSessions: t.MaxSessions,
		Active:      c.Sessions,
		Sessions:    uint64(c.Total),
		Upload:      c.Upload,
		Download:    c.Download,
		EarlyCloses: uint64(c.Early),
		Failures:    map[string]uint64{},
		Connect:     c.ConnectTime.Seconds(),
		Retry:       c.Retry.Seconds(),
		Second:      c.DemotedFor.Seconds(),
	}
	if !c.LastProbe.IsZero() {
		d.Probe = &Probe{Passed: uint64(c.ProbesPassed), Failed: uint64(c.ProbesFailed), Last: c.LastProbe}
		if c.LastProbeErr != nil {
			d.Probe.Problem = sanitize.Text(c.LastProbeErr.Error(), maxText)
		}
	}
	for i, n := range c.Failures {
		if n > 0 {
			d.Failures[upstream.Reasons[i]] = uint64(n)
		}
	}
	return d
}
