package upstream

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"tcp-proxy/internal/config"
)

// rotation is every endpoint of a set as it stands at one moment. It does not change, but for the keys in its tiers.
type rotation struct {
	set        *Set
	all        []*Target
	named      map[config.Address][]*Target // those of each name that take sessions
	tiers      []*tier                      // the ordinary targets, then the backups, each of them by the priority of SRV records
	unresolved bool                         // a name that takes sessions has no address yet
}

// endpoint is what tells the endpoints of an app apart.
type endpoint struct {
	addr netip.AddrPort
	path string // of a unix socket
}

func (e endpoint) String() string {
	if e.addr.IsValid() {
		return e.addr.String()
	}
	return "unix:" + e.path
}

// endpointOf is where a target of the configuration is, unless it is a name.
func endpointOf(a config.Address) (e endpoint, known bool) {
	if a.Network == "unix" {
		return endpoint{path: a.Path}, true
	}
	ip, err := netip.ParseAddr(a.Host)
	if a.Network != "tcp" || err != nil {
		return endpoint{}, false
	}
	return endpoint{addr: netip.AddrPortFrom(ip.Unmap(), a.Port)}, true
}

// newRotation makes the rotation of a set. An address that several targets give is one endpoint: it belongs to the
// target that is that address, or else to the first that gives it.
func newRotation(s *Set) *rotation {
	r := &rotation{set: s, all: make([]*Target, 0, len(s.targets)), named: map[config.Address][]*Target{}}
	taken := make(map[endpoint]bool, len(s.targets))
	for _, c := range s.targets {
		if e, known := endpointOf(c.Address); known {
			taken[e] = true
		}
	}
	type rank struct{ backup, priority int }
	tiers := map[rank][]*Target{}
	add := func(c config.Target, e endpoint, name string, priority int) {
		c.Weight = max(1, c.Weight)
		t := &Target{Target: c, Name: name, Addr: e.addr, Path: e.path, endpoint: e, policy: s.policy}
		t.state = s.line.stateOf(e)
		r.all = append(r.all, t)
		if !c.Down {
			at := rank{priority: priority}
			if c.Backup {
				at.backup = 1
			}
			tiers[at] = append(tiers[at], t)
		}
	}
	for _, c := range s.targets {
		if e, known := endpointOf(c.Address); known {
			add(c, e, c.Address.String(), 0)
			continue
		}
		found := s.answers[c.Address]
		r.unresolved = r.unresolved || found == nil && !c.Down && !s.unknown[c.Address]
		priority, last := -1, -1
		for _, f := range found {
			if f.Priority != last {
				priority, last = priority+1, f.Priority
			}
			e := endpoint{addr: f.Addr}
			if taken[e] {
				continue
			}
			taken[e] = true
			one := c
			if f.Weight > 0 {
				one.Weight = f.Weight
			}
			add(one, e, c.Address.String()+"/"+f.Addr.String(), priority)
			if !c.Down {
				r.named[c.Address] = append(r.named[c.Address], r.all[len(r.all)-1])
			}
		}
	}
	order := slices.SortedFunc(maps.Keys(tiers), func(a, b rank) int {
		return cmp.Or(cmp.Compare(a.backup, b.backup), cmp.Compare(a.priority, b.priority))
	})
	for _, at := range order {
		r.tiers = append(r.tiers, newTier(s, tiers[at]))
	}
	return r
}

// pick chooses a target for a session and reserves a place on it; nil if there is none. It looks among those who live,
// tier by tier, then among the dead. A session that has tried many does not go back to where none was left for it.
func (r *rotation) pick(tried *Attempts, source netip.Addr) (t *Target, trial bool) {
	for step := tried.course; step < 2*len(r.tiers); step++ {
		tier, live := r.tiers[step%len(r.tiers)], step < len(r.tiers)
		if t, trial := tier.pick(tried, source, live); t != nil {
			return t, trial
		}
		if tried.aimless() {
			tried.course = step + 1
		}
	}
	for _, tier := range r.tiers {
		if t, trial := tier.search(tried); t != nil {
			return t, trial
		}
	}
	return nil, false
}

// full reports whether there is a target that was not tried and has all the sessions that it may have, or had when pick
// looked.
func (r *rotation) full(tried *Attempts) bool {
	for _, tier := range r.tiers {
		for place, t := range tier.targets {
			if tier.tree.at(place) <= keyFull && !tried.has(t) {
				return true
			}
		}
	}
	return false
}
