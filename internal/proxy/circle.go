package proxy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/listen"
)

// A session whose target is a port of its own app would connect to the proxy again and again, until no worker is left. So
// would one that comes back by way of other apps. That an app has a port of another app as target is all right as long as
// nothing leads back: what counts are circles in the graph of apps.

// ErrLeadsBack is in the error of each target that closes a circle.
var ErrLeadsBack = errors.New("leads back to this proxy")

// way is that a target of one app reaches another app, or the same.
type way struct {
	from, to int // apps
	at       listener
}

// why says what is wrong with a way that is part of a circle.
func (w way) why(apps []config.App) string {
	if w.from == w.to {
		return fmt.Sprintf("app %q itself listens there, on %s", apps[w.from].Name, w.at.port)
	}
	return fmt.Sprintf("app %q listens there, on %s, and its targets lead back to app %q", apps[w.to].Name, w.at.port, apps[w.from].Name)
}

// CheckTargets reports each target of a configuration that leads back to the app that it belongs to, with its place:
// config.Errors, or nil. It goes by the addresses that this machine has now. What names stand for is not asked, except
// for "localhost". A target that is down leads nowhere.
func CheckTargets(cfg *config.Config, inherited []listen.Inherited) error {
	l := newListeners(cfg.Apps, inherited)
	l.refresh()
	var ways []way
	var places []int // of the targets in their apps
	for i, a := range cfg.Apps {
		for j, t := range a.Targets {
			addr, path, ok := literal(t.Address)
			if !ok || t.Down {
				continue
			}
			if at, ok := l.reached(addr, path); ok {
				ways, places = append(ways, way{i, at.app, at}), append(places, j)
			}
		}
	}
	var errs config.Errors
	rest := 0
	for n, closes := range circular(len(cfg.Apps), ways) {
		switch {
		case closes && len(errs) == config.MaxErrors:
			rest++
		case closes:
			w := ways[n]
			t := cfg.Apps[w.from].Targets[places[n]]
			errs = append(errs, cfg.Errorf(fmt.Sprintf("apps[%d].targets[%d]", w.from, places[n]), "%v %w: %s",
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

// literal gives the address of a target that the configuration has in full. "localhost" and names below it are
// 127.0.0.1 on every machine (RFC 6761, section 6.3); that they may be ::1 too, is seen when they are looked up.
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

// circular tells of each way whether it is part of a circle among n apps: whether both its ends are in one strongly
// connected component. That is Tarjan's algorithm (SIAM Journal on Computing 1, 1972).
func circular(n int, ways []way) []bool {
	next := make([][]int, n)
	for _, w := range ways {
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
	closes := make([]bool, len(ways))
	for i, w := range ways {
		closes[i] = component[w.from] == component[w.to]
	}
	return closes
}
