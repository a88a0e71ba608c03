package config

import (
	"fmt"
	"net/netip"
)

// The limits of a configuration.
const (
	maxApps    = 1000
	maxTargets = 10000 // an app
	maxSockets = 65535 // listening, in all
)

// check reports what is wrong between values that may stand far from each other, and names the apps that have no name.
func (d *decoder) check(doc *document) {
	d.checkNames(doc.Apps)
	d.checkPorts(doc)
	for i := range doc.Apps {
		d.checkSourceAddress(&doc.Apps[i])
	}
	d.checkOnDead(doc)
}

// checkPorts reports every element of "ports" that wants a socket that another one has, and the one that goes over the
// limit of sockets. It stops at the limit, so that no range costs more than that. What the admin API listens on comes
// after the ports.
func (d *decoder) checkPorts(doc *document) {
	taken := newSockets()
	total := 0
	take := func(r *portRange) bool {
		total += r.size()
		if total > maxSockets {
			d.wrong(r.at, "goes over the limit of %d listening sockets in all", maxSockets)
			return false
		}
		if other := taken.take(r); other != nil {
			d.wrong(r.at, "%v is taken by %v%s, %s at %v", r, other, other.of(r), other.at.path, d.at(other.at))
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

// checkSourceAddress reports targets that the app's source address cannot connect to. What a name stands for is not
// known here.
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
	d.wrong(a.setting("source_address"), "the source address %v is %s: it cannot connect to targets that are %s, %s", a.SourceAddress, own, other, first)
}

// checkOnDead reports settings that wait for probes which never come, since only those of "always" look at a target that
// lives: once in the defaults, and in the apps that make it so.
func (d *decoder) checkOnDead(doc *document) {
	bad := func(s Settings) bool { return s.OnDead == OnDeadClose && s.Probe.When != ProbeAlways }
	wrong := func(at node, s Settings) {
		d.wrong(at, `on_dead "close" needs probes to find a target dead: probe.when must be "always", not %q`, s.Probe.When)
	}
	if bad(doc.Defaults) {
		wrong(node{member(&d.source.root, "defaults"), "defaults"}, doc.Defaults)
		return
	}
	for i := range doc.Apps {
		if a := &doc.Apps[i]; bad(a.Settings) {
			wrong(a.setting("on_dead"), a.Settings)
		}
	}
}
