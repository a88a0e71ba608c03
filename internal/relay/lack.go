package relay

// Lack is what could not be done because this machine is short of descriptors, memory, local ports, watches or pages of
// pipes. Its values are those of the API and of metrics.
type Lack string

// The lacks.
const (
	LackConnect Lack = "connect" // a connection to a target: the session tries the next, or is reset
	LackSession Lack = "session" // anything else that a session cannot do without: it is reset
	LackPipe    Lack = "pipe"    // a pipe for splice(2): the session copies instead
)

// Lacks is every lack.
var Lacks = [...]Lack{LackConnect, LackPipe, LackSession}
