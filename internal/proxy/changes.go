package proxy

import (
	"fmt"
	"slices"
	"strings"

	"tcp-proxy/internal/config"
)

// Changes is what a reload has changed, by name.
type Changes struct {
	Added   []string `json:"added"`   // apps
	Removed []string `json:"removed"` // apps
	Changed []string `json:"changed"` // apps, each with the parts that have changed
	Global  []string `json:"global"`  // keys outside of apps
}

// ChangesOf returns how two configurations differ.
func ChangesOf(before, after *config.Config) Changes {
	c := Changes{Added: []string{}, Removed: []string{}, Changed: []string{}, Global: []string{}}
	were := map[string]config.App{}
	for _, a := range before.Apps {
		were[a.Name] = a
	}
	for _, a := range after.Apps {
		was, ok := were[a.Name]
		delete(were, a.Name)
		switch {
		case !ok:
			c.Added = append(c.Added, a.Name)
		case !sameApp(was, a):
			c.Changed = append(c.Changed, a.Name+": "+strings.Join(partsOf(was, a), ", "))
		}
	}
	for _, a := range before.Apps {
		if _, gone := were[a.Name]; gone {
			c.Removed = append(c.Removed, a.Name)
		}
	}
	for key, same := range map[string]bool{
		"max_workers":   before.MaxWorkers == after.MaxWorkers,
		"drain_timeout": before.DrainTimeout == after.DrainTimeout,
		"reload":        before.Reload == after.Reload,
		"log":           before.Log == after.Log,
		"admin":         slices.Equal(before.Admin.Listen, after.Admin.Listen),
	} {
		if !same {
			c.Global = append(c.Global, key)
		}
	}
	slices.Sort(c.Global)
	return c
}

// partsOf names the parts of an app that differ.
func partsOf(before, after config.App) []string {
	var parts []string
	if !slices.Equal(before.Ports, after.Ports) {
		parts = append(parts, "ports")
	}
	if !slices.Equal(before.Targets, after.Targets) {
		parts = append(parts, "targets")
	}
	if before.Settings != after.Settings {
		parts = append(parts, "policy")
	}
	return parts
}

// Nothing reports whether nothing has changed.
func (c Changes) Nothing() bool {
	return len(c.Added)+len(c.Removed)+len(c.Changed)+len(c.Global) == 0
}

// String returns a text such as "added a, b; removed c; changed web: ports, policy; global: log".
func (c Changes) String() string {
	if c.Nothing() {
		return "nothing has changed"
	}
	var parts []string
	for _, p := range []struct {
		what  string
		names []string
		sep   string
	}{{"added", c.Added, ", "}, {"removed", c.Removed, ", "}, {"changed", c.Changed, "; "}, {"global:", c.Global, ", "}} {
		if n := len(p.names); n > mostNamed {
			parts = append(parts, fmt.Sprintf("%s %s and %d more", p.what, strings.Join(p.names[:mostNamed], p.sep), n-mostNamed))
		} else if n > 0 {
			parts = append(parts, p.what+" "+strings.Join(p.names, p.sep))
		}
	}
	return strings.Join(parts, "; ")
}

// mostNamed is how many names of each kind String returns.
const mostNamed = 10
