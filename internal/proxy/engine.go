package proxy

import (
	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/config"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/relay/iocopy"
	"tcp-proxy/internal/relay/loop"
)

// engine is a kind of engine: how to start one, and the most descriptors that it holds for what it carries.
type engine struct {
	start      func(*admit.Workers, relay.Events) (relay.Engine, error)
	perSession uint64
	perPort    uint64
}

// engines are those that a configuration can name.
var engines = map[string]engine{
	config.EngineCopy: {
		start:      func(w *admit.Workers, e relay.Events) (relay.Engine, error) { return iocopy.New(w, e) },
		perSession: iocopy.DescriptorsPerSession,
		perPort:    iocopy.DescriptorsPerPort,
	},
	config.EngineLoop: {
		start:      func(w *admit.Workers, e relay.Events) (relay.Engine, error) { return loop.New(w, e) },
		perSession: loop.DescriptorsPerSession,
		perPort:    loop.DescriptorsPerPort,
	},
}
