package upstream

import (
	"net/netip"
	"time"

	"tcp-proxy/internal/config"
)

// The key of a target in the tree of its priority. A target with a lower key is picked first. The key of a target
// that can take sessions is its rank by the balancer; that of any other target says why it cannot.
const (
	keyOverdue = 1 << 62        // alive, but a connect is overdue: picked if no other live target is left
	keyDemoted = keyOverdue + 1 // alive, but demoted (see race.go): picked if the balancer finds no other
	keyDead    = keyDemoted + 1 // picked if no live target can take the session
	keyFull    = keyDead + 1    // has reached max_sessions
	keyNone    = 1<<64 - 1      // takes no sessions
	maxAlive   = keyOverdue     // the greatest key of live targets that are not demoted
	maxRank    = maxAlive - 1   // the greatest rank
)

// balancer is one way to choose among the targets of a priority.
type balancer struct {
	// choose returns the index of a live target (its key is at most maxAlive) that the session has not tried, or -1.
	// source is the address of the client; it is not valid if the client has none.
	choose func(p *priority, tried *Attempts, source netip.Addr) int
	rank   func(t *Target) uint64 // nil: all targets are equal
	// rank has to be computed again when
	bySessions bool // the number of sessions changes
	byLatency  bool // a connect is measured
}

var balancers = map[string]*balancer{
	config.BalanceRoundRobin:    {choose: pickRoundRobin},
	config.BalanceLeastSessions: {choose: pickLeastSessions, rank: loadOf, bySessions: true},
	config.BalanceRandom:        {choose: pickRandom},
	config.BalanceSourceHash:    {choose: pickSourceHash},
	config.BalanceFirst:         {choose: pickFirst},
	config.BalanceNearest:       {choose: pickNearest, rank: latencyOf, byLatency: true},
}

// pickRoundRobin picks by weighted round-robin.
func pickRoundRobin(p *priority, tried *Attempts, _ netip.Addr) int {
	return p.nextInTurn(maxAlive, tried)
}

// pickFirst picks the first target in the order of the configuration.
func pickFirst(p *priority, tried *Attempts, _ netip.Addr) int { return p.next(0, maxAlive, tried) }

// pickLeastSessions picks the target with the fewest sessions for its weight. Among equals it goes by weighted
// round-robin.
func pickLeastSessions(p *priority, tried *Attempts, _ netip.Addr) int {
	for range maxLooks {
		if index := p.nextInTurn(p.leastKey(tried), tried); index >= 0 {
			return index
		}
	}
	return p.nextInTurn(maxAlive, tried)
}

// maxLooks bounds how often a balancer looks for the best target again because its key changed in between.
const maxLooks = 4

// loadOf is the number of sessions divided by the weight. Targets with the same load have the same rank.
func loadOf(t *Target) uint64 {
	return min(maxRank, uint64(max(0, t.sessions.Load()))<<16/uint64(t.Weight))
}

// pickRandom draws two targets by weight and picks the one with the lower load, or else the first (power of two choices).
func pickRandom(p *priority, tried *Attempts, _ netip.Addr) int {
	one := p.random(tried, -1)
	if one < 0 {
		return -1
	}
	if other := p.random(tried, one); other >= 0 && loadOf(p.targets[other]) < loadOf(p.targets[one]) {
		return other
	}
	return one
}

// pickSourceHash picks by consistent hashing of the address of the client, or by round-robin if it has none.
func pickSourceHash(p *priority, tried *Attempts, source netip.Addr) int {
	if !source.IsValid() {
		return p.nextInTurn(maxAlive, tried)
	}
	return p.ring.find(hashOf(source), p, tried)
}

// Parameters of pickNearest.
const (
	exploreOneIn = 32                     // one session in so many goes to a random target, to measure it
	tieFraction  = 8                      // connect times are equal within 1/tieFraction of the shortest,
	tieMin       = 100 * time.Microsecond // or within this time
)

// pickNearest picks the target with the shortest connect time. Targets about as fast take turns, by weight. Targets whose
// connect time is not known come first.
func pickNearest(p *priority, tried *Attempts, _ netip.Addr) int {
	if p.rand()%exploreOneIn == 0 {
		return p.random(tried, -1)
	}
	for range maxLooks {
		best := p.leastKey(tried)
		if best > 0 && best < keyOverdue {
			best += max(best/tieFraction, uint64(tieMin))
		}
		if index := p.nextInTurn(best, tried); index >= 0 && !p.isStale(index) {
			return index
		}
	}
	return p.nextInTurn(maxAlive, tried)
}

// latencyOf is the smoothed connect time.
func latencyOf(t *Target) uint64 {
	if t.latency.overdue() {
		return keyOverdue
	}
	return min(maxRank, uint64(t.latency.value()))
}
