package proxy

import (
	"fmt"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/probe"
	"tcp-proxy/internal/resolve"
)

// Size is what a server has.
type Size struct {
	Apps, Ports, Targets, Workers int
	Probed                        int // targets that are
	Lookups                       int // sockets for names of targets
	Engine                        string
}

// SizeOf tells what a configuration would run.
func SizeOf(cfg *config.Config) Size {
	size := Size{Apps: len(cfg.Apps), Workers: cfg.MaxWorkers, Engine: cfg.Engine}
	for _, a := range cfg.Apps {
		size.Ports += len(a.Ports)
		size.Targets += len(a.Targets)
		for _, t := range a.Targets {
			size.Lookups = min(size.Lookups+resolve.SocketsFor(t.Address), resolve.MaxSockets)
		}
		if a.Probe.When != config.ProbeNever {
			size.Probed += len(a.Targets)
		}
	}
	return size
}

// String is such as "3 apps, 12 ports, 42 targets".
func (s Size) String() string {
	return fmt.Sprintf("%s, %s, %s", count(s.Apps, "app"), count(s.Ports, "port"), count(s.Targets, "target"))
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// spareDescriptors are for what is not sessions, ports, probes or lookups: the log, epoll.
const spareDescriptors = 64

// Descriptors is the most descriptors that a server of this size holds.
func (s Size) Descriptors() uint64 {
	e := engines[s.Engine]
	return uint64(s.Workers)*e.perSession + uint64(s.Ports)*e.perPort + probe.Descriptors(s.Probed) + uint64(s.Lookups) + spareDescriptors
}

// MostWorkers is how many workers fit a limit of descriptors, with the ports as they are.
func (s Size) MostWorkers(limit uint64) uint64 {
	s.Workers = 0
	if need := s.Descriptors(); need < limit {
		return (limit - need) / engines[s.Engine].perSession
	}
	return 0
}
