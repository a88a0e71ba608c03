package config

import (
	"fmt"
	"net/netip"
)

// Limits of a configuration.
const (
	maxApps    = 1000
	maxTargets = 10000 // of an app
	maxSockets = 65535 // listening sockets in all
)

// check reports errors between values in different parts of the file, and sets the names of apps without one.
func (d *decoder) check(doc *document) {
	d.checkNames(doc.Apps)
	d.checkPorts(doc)
	for i := range doc.Apps {
		d.checkSourceAddress(&doc.Apps[i])
	}
	d.checkOnDead(doc)
}

// checkPorts reports each element of "ports" whose socket is taken by another one, and the element that exceeds the limit
// of sockets. It stops at the limit, so that the work is bounded. The addresses of the admin API come after the ports.
func (d *decoder) checkPorts(doc *document) {
	taken := newSockets()
	total := 0
	take := func(r *portRange) bool {
		total += r.size()
		if total > maxSockets {
			d.report(r.at, "exceeds the limit of %d listening sockets in all", maxSockets)
			return false
		}
		if other := taken.take(r); other != nil {
			d.report(r.at, "%v is taken by %v%s, %v", r, other, other.ofApp(r), d.refer(other.at, r.at))
		}
		return true
	}
	for i := range doc.Apps {
		for j := range doc.Apps[i].Ports {
			r := &doc.Apps[i].Ports[j]
			r.app = &doc.Apps[i]
			if !take(r) {
				return
			}
		}
	}
	for i := range doc.Admin.Listen {
		if !take(&doc.Admin.Listen[i].portRange) {
			return
		}
	}
}

// checkSourceAddress reports targets that cannot be reached from the app's source address. Addresses of names are not known
// here.
func (d *decoder) checkSourceAddress(a *app) {
	if !a.SourceAddress.IsValid() {
		return
	}
	first, others := "", 0
	for _, t := range a.Targets {
		ip, err := netip.ParseAddr(t.Address.Host)
		switch {
		case t.Address.Network != "tcp" || err != nil || ip.Is4() == a.SourceAddress.Is4():
		case first == "":
			first = t.Address.String()
		default:
			others++
		}
	}
	if first == "" {
		return
	}
	if others > 0 {
		first += fmt.Sprintf(" and %d more", others)
	}
	own, other := "IPv4", "IPv6"
	if a.SourceAddress.Is6() {
		own, other = other, own
	}
	d.report(a.setting("source_address"), "the source address %v is %s: it cannot connect to targets that are %s, %s", a.SourceAddress, own, other, first)
}

// checkOnDead reports on_dead "close" without probes of live targets, which only "always" has: once for the defaults, and
// for each app that causes it.
func (d *decoder) checkOnDead(doc *document) {
	bad := func(s Settings) bool { return s.OnDead == OnDeadClose && s.Probe.When != ProbeAlways }
	wrong := func(at node, s Settings) {
		d.report(at, `on_dead "close" needs probes to find a target dead: probe.when must be "always", not %q`, s.Probe.When)
	}
	if bad(doc.Defaults) {
		wrong(node{member(&d.files.root, "defaults"), "defaults"}, doc.Defaults)
		return
	}
	for i := range doc.Apps {
		if a := &doc.Apps[i]; bad(a.Settings) {
			wrong(a.setting("on_dead"), a.Settings)
		}
	}
}
