package relay

import "time"

// A process does not run while it is stopped (SIGSTOP), while its machine is starved of processors, or while a laptop's lid
// is shut. Afterwards every time-out is over, and what has come in time is still to be read. So an engine looks at the
// sockets before it believes that a time-out is over; and if it was late itself, what it waits for has another chance: while
// the machine stood still, so may have the network. The longest that a session may be open is absolute.
const (
	// StoodStill is how late an engine is at least that has stood still.
	StoodStill = 100 * time.Millisecond
	mostChance = time.Second
)

// Chance is how long another chance is for what had this long.
func Chance(limit time.Duration) time.Duration { return min(limit, mostChance) }
