package handover

import "tcp-proxy/internal/config"

// Port is a listening socket, which may be closed already: sessions that were accepted there are reported with it.
type Port struct {
	App          string // empty: the place is free
	config.Port         // as configured
	Index        int    // as in listen.Key: which one of the sockets that serve this port
	Cookie       uint64 // of the socket; 0: it is closed
	Address      string // as relay.Port.Address returns it
	FailingSince int64  // when accepting began to fail, which was reported; 0: it does not fail
	Inherited    bool   // the service manager has made the socket
}

var portNetworks = []string{"tcp", "unix", "systemd"}

func (p *Port) fields(f *fields) {
	p.App = f.string(p.App)
	p.Network = f.word(p.Network, portNetworks)
	p.Addr = f.addrPort(p.Addr)
	p.Path = f.string(p.Path)
	p.Index = f.limit(p.Index, 1<<31-1)
	p.Cookie = f.uint64(p.Cookie)
	p.Address = f.string(p.Address)
	p.FailingSince = f.amount(p.FailingSince)
	f.flags(&p.Inherited)
}

func (p *Port) used() bool { return p.App != "" }

func (p *Port) isBusy() *bool { return nil }
