package peers

import (
	"flag"
	"time"
)

var seed = flag.Uint64("seed", 1, "what sessions and their peers are drawn from; 0 is the time")

// Progress reports whether a test prints its progress every ten seconds: the flag -progress.
var Progress = flag.Bool("progress", false, "tell how far it is every ten seconds")

// Seed returns the seed of a test's random sessions: the flag -seed, or the time if that is 0.
func Seed() uint64 {
	if *seed == 0 {
		return uint64(time.Now().UnixNano())
	}
	return *seed
}
