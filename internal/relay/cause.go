package relay

// Cause is why a session ended.
type Cause string

// The causes. The first two are the good ends: which side finished first.
const (
	ClientClosed     Cause = "client_closed"
	TargetClosed     Cause = "target_closed"
	ClientReset      Cause = "client_reset"
	TargetReset      Cause = "target_reset"
	ConnectFailed    Cause = "connect_failed"     // every target that was tried failed
	NoTarget         Cause = "no_target"          // there was none to try
	Limited          Cause = "limited"            // those there were had all the sessions they may have
	IdleTimeout      Cause = "idle_timeout"       // no byte either way
	HalfCloseTimeout Cause = "half_close_timeout" // no byte after one side had finished
	Stopped          Cause = "stopped"            // the proxy stopped before the session was done
	Internal         Cause = "internal"           // this machine ran out of something; the session's Err says what
)
