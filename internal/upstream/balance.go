package upstream

import (
	"net/netip"
	"time"

	"tcp-proxy/internal/config"
)

// What the tree of a tier has of each target: of one that can take sessions, what the balancer ranks it by, the least
// first; of others, why not.
const (
	keyLate   = 1 << 62       // it lives, but is not to be picked while another is
	keySecond = keyLate + 1   // it lives, and is for whom no balancer finds another; see second.go
	keyDead   = keySecond + 1 // it is tried when nobody lives
	keyFull   = keyDead + 1   // it has all the sessions that it may have
	keyNone   = 1<<64 - 1     // it takes no sessions
	lives     = keyLate       // the greatest key of those who live and are not second
	unlimited = lives - 1     // the greatest rank
)

// balancer is a way to choose among the targets of a tier that can take a session.
type balancer struct {
	// choose gives the place of one whose key is at most lives and that is not in tried, or -1. source is the client's
	// address; not valid, if it has none.
	choose func(r *tier, tried *Attempts, source netip.Addr) int
	rank   func(t *Target) uint64 // nil: all are equal
	// rank changes with
	counts   bool // the number of sessions
	measures bool // the time that connects take
}

var balancers = map[string]*balancer{
	config.BalanceRoundRobin:    {choose: roundRobin},
	config.BalanceLeastSessions: {choose: leastSessions, rank: load, counts: true},
	config.BalanceRandom:        {choose: twoChoices},
	config.BalanceSourceHash:    {choose: sourceHash},
	config.BalanceFirst:         {choose: first},
	config.BalanceNearest:       {choose: nearest, rank: distance, measures: true},
}

// roundRobin: in turn, by weight.
func roundRobin(r *tier, tried *Attempts, _ netip.Addr) int { return r.inTurn(lives, tried) }

// first: in the order of the configuration.
func first(r *tier, tried *Attempts, _ netip.Addr) int { return r.next(0, lives, tried) }

// leastSessions: who has the fewest sessions for its weight; among equals in turn, by weight.
func leastSessions(r *tier, tried *Attempts, _ netip.Addr) int {
	for range keen {
		if place := r.inTurn(r.least(tried), tried); place >= 0 {
			return place
		}
	}
	return r.inTurn(lives, tried)
}

// keen is how often the best is looked for again if it is not the best any more when it is picked.
const keen = 4

// load is sessions by weight. Places with the same load have the same rank.
func load(t *Target) uint64 {
	return min(unlimited, uint64(max(0, t.sessions.Load()))<<16/uint64(t.Weight))
}

// twoChoices: of two drawn by weight, the one with the lower load, or the first.
func twoChoices(r *tier, tried *Attempts, _ netip.Addr) int {
	one := r.draw(tried, -1)
	if one < 0 {
		return -1
	}
	if other := r.draw(tried, one); other >= 0 && load(r.targets[other]) < load(r.targets[one]) {
		return other
	}
	return one
}

// sourceHash: by the client's address; without one in turn.
func sourceHash(r *tier, tried *Attempts, source netip.Addr) int {
	if !source.IsValid() {
		return r.inTurn(lives, tried)
	}
	return r.ring.find(hashOf(source), r, tried)
}

// How nearest chooses.
const (
	explore    = 32                     // one in so many sessions goes to any target, to see what has become of it
	tie        = 8                      // a connect time that is longer by one in so many is as good,
	tieAtLeast = 100 * time.Microsecond // or longer by this
)

// nearest: who connects fastest; those about as fast in turn, by weight; first of all those of whom nothing is known.
func nearest(r *tier, tried *Attempts, _ netip.Addr) int {
	if r.rand()%explore == 0 {
		return r.draw(tried, -1)
	}
	for range keen {
		best := r.least(tried)
		if best > 0 && best < keyLate {
			best += max(best/tie, uint64(tieAtLeast))
		}
		if place := r.inTurn(best, tried); place >= 0 && !r.outdated(place) {
			return place
		}
	}
	return r.inTurn(lives, tried)
}

// distance is how long connects take.
func distance(t *Target) uint64 {
	if t.time.late() {
		return keyLate
	}
	return min(unlimited, uint64(t.time.connect()))
}
