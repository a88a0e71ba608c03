package peers

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// The sides of a session.
const (
	Client = 0
	Target = 1
	Nobody = -1
)

// Sides are the names of the sides.
var Sides = [2]string{"client", "target"}

// A Plan is what both sides of a session do after the target has answered the greeting. Both know all of it.
type Plan struct {
	Turns  []Turn
	Last   int              // the side that finishes only when it has read the end of the other; Nobody: neither waits
	Reset  int              // the side that resets the connection after its last turn instead of finishing; Nobody: neither
	Write  [2][]int         // sizes of a side's writes, in turn
	Read   [2]int           // the most that a side reads at once
	Stall  [2]time.Duration // how long a side does not read at first: its window closes
	Narrow [2]bool          // the side's socket takes little at a time
	Pause  time.Duration    // between one write and the next, of both sides; for plans of few bytes
}

// A Turn is a number of bytes that one side sends.
type Turn struct {
	From  int
	Bytes int64
	Wait  bool // not before everything that the other side sends in the turns before has come
}

// Random returns a random plan with at most max bytes a turn.
func Random(random *rand.Rand, most int64) Plan {
	p := Plan{Last: random.IntN(3) - 1, Reset: Nobody}
	if random.IntN(6) == 0 {
		// Both sides have received bytes before one resets, because bytes on their way may be lost then.
		p.Reset = random.IntN(2)
		p.Turns = []Turn{{From: Client, Bytes: 1}, {From: Target, Bytes: 1, Wait: true}}
	}
	for range 1 + random.IntN(5) {
		p.Turns = append(p.Turns, Turn{From: random.IntN(2), Bytes: size(random, most), Wait: random.IntN(2) == 0})
	}
	for side := range 2 {
		p.Write[side] = [][]int{{4096}, {1448, 1, 9973}, {65536}, {1, 2, 3, 511}, {16384, 7}}[random.IntN(5)]
		p.Read[side] = []int{1 << 10, 4099, 16 << 10, 32 << 10}[random.IntN(4)]
		p.Narrow[side] = random.IntN(8) == 0
		if random.IntN(12) == 0 {
			p.Stall[side] = time.Duration(random.IntN(100)) * time.Millisecond
		}
	}
	if p.Bytes(Client)+p.Bytes(Target) < 3000 && random.IntN(8) == 0 {
		p.Pause = time.Millisecond
	}
	return p
}

// size returns a random length of a turn: mostly short, as in most sessions, and sometimes up to the maximum.
func size(random *rand.Rand, most int64) int64 {
	switch random.IntN(10) {
	case 0:
		return 1 + random.Int64N(most)
	case 1, 2:
		return 1 + random.Int64N(min(most, 64<<10))
	default:
		return 1 + random.Int64N(min(most, 4096))
	}
}

// Bytes returns how many bytes a side has sent at its end, without the greeting.
func (p Plan) Bytes(side int) (n int64) {
	for _, turn := range p.Turns {
		if turn.From == side {
			n += turn.Bytes
		}
	}
	return n
}

// WithoutReset returns the same plan with an end in order, for sessions over unix sockets, which cannot be reset.
func (p Plan) WithoutReset() Plan {
	p.Reset = Nobody
	return p
}

func (p Plan) String() string {
	s := ""
	for _, turn := range p.Turns {
		s += fmt.Sprintf(" %s %d", Sides[turn.From], turn.Bytes)
		if turn.Wait {
			s += " (waits)"
		}
	}
	name := func(side int) string {
		if side == Nobody {
			return "nobody"
		}
		return Sides[side]
	}
	return fmt.Sprintf("turns%s; last %s, resets %s, writes %v, reads %v, stalls %v, narrow %v, pause %v",
		s, name(p.Last), name(p.Reset), p.Write, p.Read, p.Stall, p.Narrow, p.Pause)
}
