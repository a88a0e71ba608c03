package probe

import "tcp-proxy/internal/linux"

// What may be at once at most: checks that hold a socket, and connections that are closed in good order; fewer where
// descriptors are scarce.
const (
	MaxInFlight = 1000
	MaxClosing  = 256 // beyond them the oldest is reset
)

// closingPerTarget is how many connections of one target may be closed in good order at once.
const closingPerTarget = 4

// Descriptors is the most that the checks of so many targets hold in a process that may have so many, beside those of the
// prober itself.
func Descriptors(targets int, limit uint64) uint64 {
	n := uint64(targets)
	return min(n, maxInFlight(limit)) + min(n*closingPerTarget, maxClosing(limit))
}

// maxInFlight and maxClosing are MaxInFlight and MaxClosing in a process that may have so many descriptors.
func maxInFlight(descriptors uint64) uint64 { return min(MaxInFlight, max(descriptors/8, 1)) }
func maxClosing(descriptors uint64) uint64  { return min(MaxClosing, max(descriptors/32, 1)) }

// slots are the in-flight slots, of which a check holds one while it has a socket.
type slots struct{ used, limit int }

func (s *slots) full() bool { return s.used == s.limit }

// limits are how many in-flight slots this process has, and how many connections it may be closing.
func limits() (inFlight, closing int) {
	descriptors, err := linux.DescriptorLimit()
	if err != nil {
		return MaxInFlight, MaxClosing
	}
	return int(maxInFlight(descriptors)), int(maxClosing(descriptors))
}

// acquire gives the check a socket and an in-flight slot, of which there must be one, and returns the data of its events.
func (p *Prober) acquire(c *check, fd int) (event uint64) {
	c.fd = fd
	p.inFlight.used++
	return p.tasks.Key(c.number)
}

// release takes the slot back, after the check's socket was closed or has become another's. Events of it are ignored from
// now on.
func (p *Prober) release(c *check) {
	c.fd = noSocket
	p.inFlight.used--
	p.tasks.Renew(c.number)
}
