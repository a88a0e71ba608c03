package proxy

import (
	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/config"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/relay/iocopy"
	"tcp-proxy/internal/relay/loop"
)

// engine is a kind of engine: how to start one, and how many descriptors it needs at most.
type engine struct {
	start      func(*admit.Workers, relay.Events) (relay.Engine, error)
	perSession uint64
	perRace    uint64 // added to perSession if targets have names: the second connect of a race
	perPort    uint64
	fixed      func() uint64 // for the engine itself
}

// engines are the engines by their names in the configuration.
var engines = map[string]engine{
	config.EngineCopy: {
		start:      func(w *admit.Workers, e relay.Events) (relay.Engine, error) { return iocopy.New(w, e) },
		perSession: iocopy.DescriptorsPerSession,
		perRace:    iocopy.DescriptorsPerRace,
		perPort:    iocopy.DescriptorsPerPort,
		fixed:      iocopy.Descriptors,
	},
	config.EngineLoop: {
		start:      func(w *admit.Workers, e relay.Events) (relay.Engine, error) { return loop.New(w, e) },
		perSession: loop.DescriptorsPerSession,
		perRace:    loop.DescriptorsPerRace,
		perPort:    loop.DescriptorsPerPort,
		fixed:      loop.Descriptors,
	},
}
