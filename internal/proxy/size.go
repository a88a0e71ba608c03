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
	Probed                        int // targets that are, with all the addresses that names may have
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
			if a.Probe.When != config.ProbeNever {
				size.Probed += resolve.EndpointsOf(t.Address)
			}
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

// spareDescriptors are for what has no number of its own: the log, the runtime's poller, the prober and the watch of
// files, files that are read now and then, and a port that a reload has opened and the one before it.
const spareDescriptors = 64

// Descriptors is the most descriptors that a server of this size holds in a process that may have so many.
func (s Size) Descriptors(limit uint64) uint64 {
	e := engines[s.Engine]
	return uint64(s.Workers)*s.perWorker() + uint64(s.Ports)*e.perPort + e.once() + probe.Descriptors(s.Probed, limit) +
		uint64(s.Lookups) + spareDescriptors
}

// perWorker is the most descriptors of one session.
func (s Size) perWorker() uint64 {
	e := engines[s.Engine]
	if s.Lookups > 0 {
		return e.perSession + e.perRival
	}
	return e.perSession
}

// MostWorkers is how many workers fit a limit of descriptors, of which others have some, with the rest as it is.
func (s Size) MostWorkers(limit, others uint64) uint64 {
	s.Workers = 0
	if need := s.Descriptors(limit) + others; need < limit {
		return (limit - need) / s.perWorker()
	}
	return 0
}
