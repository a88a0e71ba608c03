package handover

import (
	"net/netip"

	"tcp-proxy/internal/config"
)

// Target is one endpoint of an app: the one that a session is connected to, or one that it may still be connected to.
type Target struct {
	App           string         // empty: the place is free
	config.Target                // as configured; for an address of a name, with the weight of that address
	Name          string         // as upstream.Target has it
	Addr          netip.AddrPort // of TCP; may have a zone
	Path          string         // of a unix socket; Addr is not valid then
	Active        bool           // it is a target of the app's configuration; otherwise only sessions have it
}

var networks = []string{"tcp", "unix", "srv"}

func (t *Target) fields(f *fields) {
	t.App = f.string(t.App)
	t.Name = f.string(t.Name)
	t.Addr = f.addrPort(t.Addr)
	t.Path = f.string(t.Path)
	a := &t.Address
	a.Network = f.word(a.Network, networks)
	a.Host = f.string(a.Host)
	a.Port = uint16(f.limit(int(a.Port), 65535))
	a.Path = f.string(a.Path)
	t.Weight = f.limit(t.Weight, 256)
	if f.reading {
		t.Weight = max(t.Weight, 1) // balancers divide by it
	}
	t.MaxSessions = f.limit(t.MaxSessions, mostSessions)
	f.flags(&t.Backup, &t.Down, &t.Active)
}

func (t *Target) used() bool { return t.App != "" }

func (t *Target) isBusy() *bool { return nil }
