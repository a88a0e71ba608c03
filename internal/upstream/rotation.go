package upstream

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"tcp-proxy/internal/config"
)

// rotation is every endpoint of a set at one moment. It is immutable, except the keys in its priorities.
type rotation struct {
	set        *Set
	all        []*Target
	named      map[config.Address][]*Target // endpoints of each name that take sessions
	priorities []*priority                  // the ordinary targets, then the backups, both by the priority of SRV records
	unresolved bool                         // a name that takes sessions has no answer yet
}

// endpoint identifies a target within an app.
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

// endpointOf returns the endpoint of a target in the configuration; known is false if the target is a name.
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

// newRotation makes the rotation of a set. An address that several targets have is one endpoint: it belongs to the
// target with this literal address, or else to the first name that has it.
func newRotation(s *Set) *rotation {
	r := &rotation{set: s, all: make([]*Target, 0, len(s.targets)), named: map[config.Address][]*Target{}}
	taken := make(map[endpoint]bool, len(s.targets))
	for _, c := range s.targets {
		if e, known := endpointOf(c.Address); known {
			taken[e] = true
		}
	}
	type rank struct{ backup, priority int }
	levels := map[rank][]*Target{}
	add := func(c config.Target, e endpoint, name string, priority int) {
		c.Weight = max(1, c.Weight)
		t := &Target{Target: c, Name: name, Addr: e.addr, Path: e.path, endpoint: e, policy: s.policy}
		t.state = s.shared.stateOf(e)
		r.all = append(r.all, t)
		if !c.Down {
			at := rank{priority: priority}
			if c.Backup {
				at.backup = 1
			}
			levels[at] = append(levels[at], t)
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
	order := slices.SortedFunc(maps.Keys(levels), func(a, b rank) int {
		return cmp.Or(cmp.Compare(a.backup, b.backup), cmp.Compare(a.priority, b.priority))
	})
	for _, at := range order {
		r.priorities = append(r.priorities, newPriority(s, levels[at]))
	}
	return r
}

// pick chooses a target for a session and reserves a slot on it; it returns nil if there is none. It looks among the
// live targets of each priority, then among the dead ones. A session that has tried many targets does not look again
// where nothing was left for it.
func (r *rotation) pick(tried *Attempts, source netip.Addr) (t *Target, halfOpen bool) {
	for step := tried.phase; step < 2*len(r.priorities); step++ {
		level, live := r.priorities[step%len(r.priorities)], step < len(r.priorities)
		if t, halfOpen := level.pick(tried, source, live); t != nil {
			return t, halfOpen
		}
		if tried.sequential() {
			tried.phase = step + 1
		}
	}
	for _, level := range r.priorities {
		if t, halfOpen := level.scan(tried); t != nil {
			return t, halfOpen
		}
	}
	return nil, false
}

// full reports whether there is a target that the session has not tried and that has reached max_sessions, or had
// when pick looked.
func (r *rotation) full(tried *Attempts) bool {
	for _, level := range r.priorities {
		for index, t := range level.targets {
			if level.tree.key(index) <= keyFull && !tried.has(t) {
				return true
			}
		}
	}
	return false
}
