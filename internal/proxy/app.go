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

// app is one app at work. It is immutable; a reload that changes the app makes a new one.
type app struct {
	config.App
	targets *upstream.Set
	gate    *admit.Gate
	meter   *meter.App
	route   *relay.Route
}

// newApp makes an app, or returns the one before (nil: there is none) if nothing has changed. Targets that the one
// before has too keep their state; if no target has changed, the round-robin continues. Open sessions still count for
// the limits. The metrics continue only under the same name.
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

// versions maps values of send_proxy_protocol to versions of the PROXY protocol.
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

// predecessors returns, for each app of a new configuration, the running app whose state it takes over: the one with
// the same name, or, for a renamed app, one with the same targets whose name is gone. It is nil if there is none.
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
