package proxy

import (
	"slices"

	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/config"
	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/meter"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/upstream"
)

// app is one app at work. It does not change; a reload that changes the app makes another.
type app struct {
	config.App
	targets *upstream.Set
	gate    *admit.Gate
	meter   *meter.App
	route   *relay.Route
}

// newApp makes an app, or returns the one before (nil if there is none) if nothing of it has changed. Targets that the
// one before had keep what is known of them; if none has changed, the rotation goes on too. Who is inside still counts
// for the limits; what is counted for the metrics goes on under the same name alone.
func newApp(c config.App, before *app) *app {
	if before != nil && sameApp(before.App, c) {
		return before
	}
	a := &app{App: c, meter: meter.NewApp()}
	var gate *admit.Gate
	switch {
	case before == nil:
		a.targets = upstream.NewSet(c.Targets, policyOf(c), nil)
	case slices.Equal(before.Targets, c.Targets) && policyOf(before.App) == policyOf(c):
		a.targets = before.targets
	default:
		a.targets = upstream.NewSet(c.Targets, policyOf(c), before.targets)
	}
	if before != nil {
		gate = before.gate
	}
	a.gate = admit.NewGate(entryOf(c), gate)
	if before != nil && before.Name == c.Name {
		a.meter = before.meter
	}
	a.route = &relay.Route{
		App:              c.Name,
		Targets:          a.targets,
		Gate:             a.gate,
		ProxyFrom:        admit.NewNetworks(c.AcceptProxyProtocol.From.Prefixes()),
		ProxyTimeout:     c.AcceptProxyProtocol.Timeout,
		ConnectTimeout:   c.ConnectTimeout,
		ConnectAttempts:  c.ConnectAttempts,
		IdleTimeout:      c.IdleTimeout,
		HalfCloseTimeout: c.HalfCloseTimeout,
		MaxDuration:      c.MaxSessionDuration,
		Upload:           c.BytesPerSecond.Upload,
		Download:         c.BytesPerSecond.Download,
		Keepalive:        linux.Keepalive(c.Keepalive),
		SendProxy:        versions[c.SendProxyProtocol],
		SourceAddress:    c.SourceAddress,
		Meter:            a.meter,
	}
	return a
}

// versions are those of the PROXY protocol, by what the configuration calls them.
var versions = map[string]int{config.ProxyV1: 1, config.ProxyV2: 2}

func policyOf(c config.App) upstream.Policy {
	return upstream.Policy{
		Balance: c.Balance,
		Retry:   c.RetryDeadAfter,
		Probed:  c.Probe.When != config.ProbeNever,
		Rise:    c.Probe.Rise,
		Fall:    c.Probe.Fall,
	}
}

func entryOf(c config.App) admit.Policy {
	return admit.Policy{
		Allow:                      c.Allow,
		Deny:                       c.Deny,
		MaxSessions:                c.MaxSessions,
		MaxSessionsPerSource:       c.MaxSessionsPerSource,
		SessionsPerSecond:          c.SessionsPerSecond,
		SessionsPerSecondPerSource: c.SessionsPerSecondPerSource,
	}
}

func sameApp(a, b config.App) bool {
	return a.Name == b.Name && a.Settings == b.Settings && slices.Equal(a.Ports, b.Ports) && slices.Equal(a.Targets, b.Targets)
}

// predecessors finds, for each app of a new configuration, the one before whose targets it takes over: the one of its
// name, or, for an app that was renamed, one whose name is gone and whose targets are the same. It may be nil.
func predecessors(apps []config.App, before []*app) []*app {
	names := map[string]bool{}
	for _, c := range apps {
		names[c.Name] = true
	}
	byName, gone := map[string]*app{}, []*app(nil)
	for _, b := range before {
		byName[b.Name] = b
		if !names[b.Name] {
			gone = append(gone, b)
		}
	}
	found := make([]*app, len(apps))
	for i, c := range apps {
		if found[i] = byName[c.Name]; found[i] != nil {
			continue
		}
		renamed := slices.IndexFunc(gone, func(b *app) bool { return slices.Equal(b.Targets, c.Targets) })
		if renamed >= 0 {
			found[i] = gone[renamed]
			gone = slices.Delete(gone, renamed, renamed+1)
		}
	}
	return found
}
