package proxy

import (
	"fmt"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/probe"
	"tcp-proxy/internal/resolve"
)

// Size is the number of parts of a server.
type Size struct {
	Apps, Ports, Targets, Workers int
	Probed                        int // targets with probes, including all addresses that names may have
	Lookups                       int // sockets for looking up names
	Engine                        string
}

// SizeOf returns the size of a server with this configuration.
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

// String returns a text such as "3 apps, 12 ports, 42 targets".
func (s Size) String() string {
	return fmt.Sprintf("%s, %s, %s", count(s.Apps, "app"), count(s.Ports, "port"), count(s.Targets, "target"))
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// spareDescriptors is for everything without a number of its own: the log, the poller of the Go runtime, the prober,
// watched files, files that are open for a moment, the reload socket, and both the old and the new socket of a port during a reload.
const spareDescriptors = 64

// Descriptors returns the most descriptors that a server of this size uses. limit is RLIMIT_NOFILE of the process.
func (s Size) Descriptors(limit uint64) uint64 {
	e := engines[s.Engine]
	return uint64(s.Workers)*s.perWorker() + uint64(s.Ports)*e.perPort + e.fixed() + probe.Descriptors(s.Probed, limit) +
		uint64(s.Lookups) + spareDescriptors
}

// perWorker returns the most descriptors of one session.
func (s Size) perWorker() uint64 {
	e := engines[s.Engine]
	if s.Lookups > 0 {
		return e.perSession + e.perRace
	}
	return e.perSession
}

// MostWorkers returns how many workers fit a limit of descriptors of which others are used elsewhere. The rest of the
// size stays.
func (s Size) MostWorkers(limit, others uint64) uint64 {
	s.Workers = 0
	if need := s.Descriptors(limit) + others; need < limit {
		return (limit - need) / s.perWorker()
	}
	return 0
}
