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
	perRival   uint64 // more for each session, where targets have names
	perPort    uint64
	once       func() uint64
}

// engines are those that a configuration can name.
var engines = map[string]engine{
	config.EngineCopy: {
		start:      func(w *admit.Workers, e relay.Events) (relay.Engine, error) { return iocopy.New(w, e) },
		perSession: iocopy.DescriptorsPerSession,
		perRival:   iocopy.DescriptorsPerRival,
		perPort:    iocopy.DescriptorsPerPort,
		once:       iocopy.Descriptors,
	},
	config.EngineLoop: {
		start:      func(w *admit.Workers, e relay.Events) (relay.Engine, error) { return loop.New(w, e) },
		perSession: loop.DescriptorsPerSession,
		perRival:   loop.DescriptorsPerRival,
		perPort:    loop.DescriptorsPerPort,
		once:       loop.Descriptors,
	},
}
