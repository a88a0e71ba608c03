package relay

import "time"

// Record is the account of one session.
type Record struct {
	App      string
	Port     string
	Client   string // IP:PORT, or "unix:"
	Target   string // the last one tried; empty if none was
	Attempts int    // targets tried

	Connect  time.Duration // from accept until a target's connection stood, or until none was left
	Duration time.Duration // from accept until both sockets were closed

	Upload   int64 // bytes written to the target
	Download int64 // bytes written to the client

	Cause Cause
	Err   error // what is known beyond the cause; nil after a good end
}
