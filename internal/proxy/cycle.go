package proxy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/listen"
)

// If the target of an app is a port of the same app, each session connects to the proxy again, until no worker is
// left. The same happens by way of other apps. An app may have a port of another app as a target as long as no cycle
// of apps results.

// ErrLeadsBack is in the error of each target that is part of a cycle.
var ErrLeadsBack = errors.New("leads back to this proxy")

// edge says that a target of app from reaches a listener of app to.
type edge struct {
	from, to int // indices of apps
	at       listener
}

// why describes what is wrong with an edge that is part of a cycle.
func (w edge) why(apps []config.App) string {
	if w.from == w.to {
		return fmt.Sprintf("app %q itself listens there, on %s", apps[w.from].Name, w.at.port)
	}
	return fmt.Sprintf("app %q listens there, on %s, and its targets lead back to app %q", apps[w.to].Name, w.at.port, apps[w.from].Name)
}

// CheckTargets returns config.Errors with each target of a configuration that leads back to its own app, or nil. It
// uses the current addresses of this machine. It does not look up names, except "localhost". Targets that are down
// are ignored.
func CheckTargets(cfg *config.Config, inherited []listen.Inherited) error {
	l := newListeners(cfg.Apps, inherited)
	l.refresh()
	var edges []edge
	var targets []int // indices in their apps
	for i, a := range cfg.Apps {
		for j, t := range a.Targets {
			addr, path, ok := literal(t.Address)
			if !ok || t.Down {
				continue
			}
			if at, ok := l.find(addr, path); ok {
				edges, targets = append(edges, edge{i, at.app, at}), append(targets, j)
			}
		}
	}
	var errs config.Errors
	rest := 0
	for n, closes := range inCycle(len(cfg.Apps), edges) {
		switch {
		case closes && len(errs) == config.MaxErrors:
			rest++
		case closes:
			w := edges[n]
			t := cfg.Apps[w.from].Targets[targets[n]]
			errs = append(errs, cfg.Errorf(fmt.Sprintf("apps[%d].targets[%d]", w.from, targets[n]), "%v %w: %s",
				t.Address, ErrLeadsBack, w.why(cfg.Apps)))
		}
	}
	switch {
	case len(errs) == 0:
		return nil
	case rest > 0:
		errs = append(errs, cfg.More(rest))
	}
	return errs
}

// literal returns the address of a target that is not a name. "localhost" and names below it are 127.0.0.1 on every
// machine (RFC 6761, section 6.3); that they may also be ::1 is noticed when they are looked up.
func literal(a config.Address) (addr netip.AddrPort, path string, ok bool) {
	switch host := strings.ToLower(strings.TrimSuffix(a.Host, ".")); {
	case a.Network == "unix":
		return netip.AddrPort{}, a.Path, true
	case a.Network != "tcp":
		return netip.AddrPort{}, "", false
	case host == "localhost" || strings.HasSuffix(host, ".localhost"):
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), a.Port), "", true
	}
	ip, err := netip.ParseAddr(a.Host)
	return netip.AddrPortFrom(ip, a.Port), "", err == nil
}

// inCycle returns for each edge whether it is part of a cycle among n apps, that is, whether both its ends are in one
// strongly connected component (Tarjan's algorithm, SIAM Journal on Computing 1, 1972).
func inCycle(n int, edges []edge) []bool {
	next := make([][]int, n)
	for _, w := range edges {
		next[w.from] = append(next[w.from], w.to)
	}
	const unseen = 0
	var stack []int
	seen, lowest, component := make([]int, n), make([]int, n), make([]int, n)
	count := 0
	var visit func(app int)
	visit = func(app int) {
		count++
		seen[app], lowest[app] = count, count
		stack = append(stack, app)
		for _, to := range next[app] {
			if seen[to] == unseen {
				visit(to)
				lowest[app] = min(lowest[app], lowest[to])
			} else if component[to] == 0 { // it is on the stack
				lowest[app] = min(lowest[app], seen[to])
			}
		}
		for lowest[app] == seen[app] && component[app] == 0 {
			last := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			component[last] = seen[app]
		}
	}
	for app := range n {
		if seen[app] == unseen && len(next[app]) > 0 {
			visit(app)
		}
	}
	closes := make([]bool, len(edges))
	for i, w := range edges {
		closes[i] = component[w.from] == component[w.to]
	}
	return closes
}
