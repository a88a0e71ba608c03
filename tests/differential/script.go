// Package differential plays random scripts, made from seeds, on every engine, and compares what the peers and the engine
// saw.
package differential

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// The sides of a session.
const (
	client = 0
	server = 1 // the target
)

// script is one session: how it is connected, who does what, and how it ends.
type script struct {
	seed     uint64
	unix     [2]bool // the side is a unix socket
	dead     int     // targets that refuse, tried before the live one
	alive    bool    // there is a live one
	narrow   bool    // the engine's socket to the client takes little at a time
	headerIn int     // the client begins with a PROXY header of this version; 0: it need not
	pieces   int     // in pieces of so many bytes
	sent     int     // the target is sent a PROXY header of this version; 0: none
	rate     [2]int  // of what each side sends, in bytes a second; 0: no limit
	refused  refusal // why the client is not let in
	steps    []step
	ending   ending
	by       int           // the side that the ending is about
	certain  bool          // which side finishes first is certain
	idle     time.Duration // the route's time-outs
	halfOpen time.Duration
	longest  time.Duration // that a session may be open
}

// step is what one side does.
type step struct {
	do   action
	side int
	n    int // bytes
	size int // of a write
}

type action string

const (
	exchange action = "exchange" // one side sends, the other reads
	cross    action = "cross"    // both do at once
	stall    action = "stall"    // one side sends, and the other does not read yet
	drain    action = "drain"    // it reads what was stalled
	finish   action = "finish"   // one side sends FIN
	pause    action = "pause"
)

// ending is how the session ends after its steps.
type ending string

const (
	inOrder     ending = "in order"      // both finish
	byReset     ending = "reset"         // one side resets
	byIdle      ending = "idle time-out" // nobody does anything
	byHalfClose ending = "half-close time-out"
	byDuration  ending = "longest duration"
	stopped     ending = "stopped"     // the engine is told to end it
	targetDead  ending = "target dead" // the engine is told to end those of the target
)

// refusal is why a client is refused; "": it is not.
type refusal string

const (
	denied     refusal = "denied"
	badHeader  refusal = "bad header"
	halfHeader refusal = "half a header and FIN"
)

// newScript returns the script of a seed.
func newScript(seed uint64) script {
	random := rand.New(rand.NewPCG(seed, 0))
	s := script{seed: seed, alive: random.IntN(12) > 0, certain: true}
	s.unix = [2]bool{random.IntN(4) == 0, random.IntN(4) == 0}
	s.narrow = random.IntN(4) == 0
	if random.IntN(3) == 0 {
		s.dead = 1 + random.IntN(3)
	}
	s.policy(random)
	if s.refused != "" {
		return s
	}
	if !s.alive {
		s.dead = max(1, s.dead)
		return s
	}
	var finished [2]bool
	var stalled [2]int
	size := func() int { return []int{1, 2, 63, 1448, 4096, 9973, 65535, 65536, 65537, 200_001}[random.IntN(10)] }
	for range random.IntN(12) {
		side := random.IntN(2)
		x := step{side: side, size: size()}
		switch k := random.IntN(12); {
		case k < 4 && !finished[side] && stalled[side] == 0:
			x.do, x.n = exchange, 1+random.IntN(min(400_000, 2000*x.size))
		case k < 6 && !finished[0] && !finished[1] && stalled[0]+stalled[1] == 0:
			x.do, x.n = cross, 1+random.IntN(min(2_000_000, 2000*x.size))
		case k < 8 && !finished[side] && stalled[side] == 0:
			x.do, x.size = stall, max(x.size, 1448)
			x.n = 1 + random.IntN(6_000_000)
			stalled[side] = x.n
		case k < 10 && stalled[side] > 0:
			x.do, x.n = drain, stalled[side]
			stalled[side] = 0
		case k == 10 && !finished[side]:
			x.do = finish
			// If the direction is stalled, it is not certain when FIN is passed on.
			s.certain = s.certain && stalled[side] == 0
			finished[side] = true
		default:
			x.do, x.n = pause, random.IntN(5)
		}
		s.steps = append(s.steps, x)
		if finished[0] && finished[1] {
			break
		}
	}
	s.by = random.IntN(2)
	endings := []ending{inOrder, inOrder, inOrder, byReset, byReset, byReset, byIdle, byHalfClose, byDuration, stopped, targetDead}
	s.ending = endings[random.IntN(len(endings))]
	quiet := stalled[0]+stalled[1] == 0
	switch {
	case finished[0] && finished[1]:
		s.ending = inOrder
	case s.ending == byReset && s.unix[s.by]: // there is none
		s.ending = inOrder
	case s.ending == byHalfClose && (!quiet || !finished[0] && !finished[1]):
		s.ending = inOrder
	case s.ending == byIdle && !quiet, s.ending == byDuration && (!quiet || len(s.steps) > 2):
		s.ending = inOrder
	}
	switch s.ending {
	case byIdle:
		s.idle = quietTime
	case byHalfClose:
		s.halfOpen = quietTime
	case byDuration:
		s.longest = quietTime
	case inOrder:
		for _, side := range []int{s.by, 1 - s.by} {
			if n := stalled[side]; n > 0 {
				s.steps = append(s.steps, step{do: drain, side: side, n: n})
			}
		}
		for _, side := range []int{s.by, 1 - s.by} {
			if !finished[side] {
				s.steps = append(s.steps, step{do: finish, side: side})
			}
		}
	}
	return s
}

// policy chooses what the client must do to be accepted, and the limits of its session.
func (s *script) policy(random *rand.Rand) {
	if random.IntN(3) == 0 {
		s.headerIn, s.pieces = 1+random.IntN(2), []int{1, 7, 1000}[random.IntN(3)]
	}
	if random.IntN(3) == 0 {
		s.sent = 1 + random.IntN(2)
	}
	for side := range s.rate {
		if random.IntN(6) == 0 {
			s.rate[side] = 20_000_000 + random.IntN(100_000_000)
		}
	}
	if random.IntN(12) > 0 {
		return
	}
	s.alive = true // who would take the session
	s.refused = []refusal{denied, badHeader, halfHeader}[random.IntN(3)]
	if s.refused != denied || s.unix[client] { // who has no address is not denied
		s.headerIn, s.pieces = 1+random.IntN(2), 1000
	}
}

// quietTime is the length of time-outs in a script: longer than any delay of a busy machine.
const quietTime = 2 * time.Second

func (s script) String() string {
	var b strings.Builder
	name := func(side int) string { return []string{"client", "target"}[side] }
	fmt.Fprintf(&b, "seed %d: unix %v, narrow %v, %d dead targets, a live one %v, idle %v, half-close %v, longest %v\n",
		s.seed, s.unix, s.narrow, s.dead, s.alive, s.idle, s.halfOpen, s.longest)
	fmt.Fprintf(&b, "  PROXY header in v%d by %d, out v%d, rates %v, refused %q\n", s.headerIn, s.pieces, s.sent, s.rate, s.refused)
	for _, x := range s.steps {
		fmt.Fprintf(&b, "  %s %s %d bytes by %d\n", name(x.side), x.do, x.n, x.size)
	}
	fmt.Fprintf(&b, "  ends: %s by %s", s.ending, name(s.by))
	return b.String()
}
