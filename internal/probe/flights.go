package probe

import "tcp-proxy/internal/linux"

// MaxFlights is how many checks may be under way at once; fewer where descriptors are scarce.
const MaxFlights = 1000

// Descriptors is the most that the checks of so many targets hold in a process that may have so many, beside those of the
// prober itself.
func Descriptors(targets int, limit uint64) uint64 {
	n := uint64(targets)
	return min(n, flightsOf(limit)) + min(n*ownFarewells, farewellsOf(limit))
}

// flightsOf is how many checks may be under way in a process that may have so many descriptors.
func flightsOf(descriptors uint64) uint64 { return min(MaxFlights, max(descriptors/8, 1)) }

// flights are the checks under way: those that hold a socket. Each has a number, which its events carry.
type flights struct {
	seats []seat
	free  []int32 // seats that are empty
	limit int
}

// seat is a place for a check. Its turn tells the events of the check that has it from those of the one before.
type seat struct {
	check *check
	turn  uint32
}

// newFlights makes room for MaxFlights, or for an eighth of the descriptors that this process may have.
func newFlights() flights {
	limit := MaxFlights
	if descriptors, err := linux.DescriptorLimit(); err == nil {
		limit = int(flightsOf(descriptors))
	}
	return flights{limit: limit}
}

func (f *flights) full() bool { return len(f.free) == 0 && len(f.seats) == f.limit }

// any reports whether a check is under way.
func (f *flights) any() bool { return len(f.free) < len(f.seats) }

// board gives the check a seat and returns the data for its events. There must be one.
func (f *flights) board(c *check) (event uint64) {
	if n := len(f.free); n > 0 {
		c.seat = f.free[n-1]
		f.free = f.free[:n-1]
	} else {
		c.seat = int32(len(f.seats))
		f.seats = append(f.seats, seat{})
	}
	s := &f.seats[c.seat]
	s.check = c
	s.turn++
	return uint64(s.turn)<<32 | uint64(uint32(c.seat))
}

// land takes the check's seat back.
func (f *flights) land(c *check) {
	f.seats[c.seat].check = nil
	f.free = append(f.free, c.seat)
}

// of is the check that an event is about; nil if that is over.
func (f *flights) of(event uint64) *check {
	s := &f.seats[uint32(event)]
	if s.turn != uint32(event>>32) {
		return nil // it landed, and another took its seat
	}
	return s.check
}

// bellEvent is the data of the bell's events: no seat has that number.
const bellEvent = 1<<32 - 1
