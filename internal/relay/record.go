package relay

import (
	"time"

	"tcp-proxy/internal/admit"
)

// Record is the account of one session.
type Record struct {
	ID       uint64 // no other session of the process has it, before or after
	Route    *Route // the policy that it went by
	App      string
	Port     string
	Address  string // where the port listens
	Client   string // IP:PORT, or "unix:"; by the PROXY header, if it names one
	Peer     string // who connected, if that is another: the sender of the PROXY header
	Target   string // the last one tried; empty if none was
	Attempts int    // targets tried

	Connect  time.Duration // from accept until a target was connected, or until the session ended without one
	Duration time.Duration // from accept until both sockets were closed

	Upload   int64 // bytes written to the target
	Download int64 // bytes written to the client

	Cause   Cause
	Refused admit.Refusal // why the gate refused the client; "": it did not
	Err     error         // what is known beyond the cause; nil after a good end
}
