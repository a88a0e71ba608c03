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
	Denied           Cause = "denied"             // the client's network may not come in
	Limited          Cause = "limited"            // by a limit of the app, or its targets had all the sessions they may have
	ProxyHeader      Cause = "proxy_header"       // the client had to begin with a PROXY header and did not
	LoopDetected     Cause = "loop_detected"      // the client is the proxy itself: the app's targets lead back to it
	IdleTimeout      Cause = "idle_timeout"       // no byte either way
	HalfCloseTimeout Cause = "half_close_timeout" // no byte after one side had finished
	MaxDuration      Cause = "max_duration"       // it was open for as long as a session may be
	TargetDead       Cause = "target_dead"        // a probe found the target dead, or it is the proxy itself
	Drained          Cause = "drained"            // the proxy stopped, and the session was still open after drain_timeout
	OperatorReset    Cause = "operator_reset"     // an operator closed the session
	Stopped          Cause = "stopped"            // the proxy stopped without a drain timeout, or was told to hurry
	Internal         Cause = "internal"           // this machine ran out of something; the session's Err says what
)
