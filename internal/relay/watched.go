package relay

import "context"

// Watched is an engine that can prove that it makes progress. Every engine is.
type Watched interface {
	// Alive returns nil once the engine has shown that it answers, and that each port on which a connection waits is
	// being accepted on unless no worker is free. If the context is done first, the error says what is stuck. An engine
	// whose own locks are stuck does not return at all.
	Alive(context.Context) error
}
