package config

// The limits of a configuration.
const (
	maxApps    = 1000
	maxTargets = 10000 // an app
	maxSockets = 65535 // listening, in all
)

// check reports what is wrong between apps, and names those that have no name.
func (d *decoder) check(apps []app) {
	d.checkNames(apps)
	d.checkPorts(apps)
}

// checkPorts reports every element of "ports" that wants a socket that another one has, and the one that goes over the
// limit of sockets. It stops at the limit, so that no range costs more than that.
func (d *decoder) checkPorts(apps []app) {
	taken := newSockets()
	total := 0
	for i := range apps {
		for j := range apps[i].Ports {
			r := &apps[i].Ports[j]
			total += r.size()
			if total > maxSockets {
				d.wrong(r.at, "goes over the limit of %d listening sockets in all", maxSockets)
				return
			}
			if other := taken.take(r); other != nil {
				d.wrong(r.at, "%v is taken by %v, %s at %v", r, other, other.at.path, d.source.place(other.at.StartOffset))
			}
		}
	}
}
