package upstream

import (
	"math/rand/v2"
	"net/netip"

	"tcp-proxy/internal/config"
)

// priority is the targets of one priority level, among which the balancer picks. A level is used when no target of
// the levels before it can take the session.
type priority struct {
	targets     []*Target
	tree        *minTree
	turns       roundRobin // of the live targets
	deadTurns   roundRobin // of the dead targets
	cumulative  []uint64   // for each target, the sum of the weights up to and including its own
	totalWeight uint64
	ring        *ring // for source_hash; otherwise nil
	balancer    *balancer
	queue       *queue
	rand        func() uint64
}

// newPriority makes a level of targets, in this order. The keys are those of targets that take no sessions, until
// updateKey.
func newPriority(s *Set, targets []*Target) *priority {
	p := &priority{targets: targets, tree: newMinTree(len(targets)), balancer: s.policy.balancer, queue: &s.shared.queue, rand: rand.Uint64}
	weights := make([]int, len(targets))
	for index, t := range targets {
		t.priority, t.index = p, index
		weights[index] = t.Weight
		p.totalWeight += uint64(t.Weight)
		p.cumulative = append(p.cumulative, p.totalWeight)
	}
	p.turns.init(weights)
	p.deadTurns.size, p.deadTurns.rounds = uint64(len(targets)), 1
	if s.policy.Balance == config.BalanceSourceHash {
		p.ring = newRing(targets)
	}
	return p
}

// continueFrom continues the round-robin of a previous level.
func (p *priority) continueFrom(before *priority) {
	p.turns.continueFrom(&before.turns)
	p.deadTurns.continueFrom(&before.deadTurns)
}

// pick chooses a target for a session and reserves a slot on it: a live target if live is set, otherwise a dead one. It
// returns nil if there is none.
func (p *priority) pick(tried *Attempts, source netip.Addr, live bool) (t *Target, halfOpen bool) {
	for {
		index := 0
		switch {
		case tried.sequential():
			index = p.nextAfterLast(tried, live)
		case live:
			if index = p.balancer.choose(p, tried, source); index < 0 {
				index = p.nextInTurn(keyDemoted, tried)
			}
		default:
			index = p.deadTurns.next(func(from int) int { return p.next(from, keyDead, tried) })
		}
		if index < 0 {
			return nil, false
		}
		t := p.targets[index]
		if halfOpen, ok := t.reserve(live); ok {
			return t, halfOpen
		}
		t.updateKey() // the key was stale
	}
}

// scan tries the targets one by one: it finds those that pick may miss while keys change.
func (p *priority) scan(tried *Attempts) (t *Target, halfOpen bool) {
	for index, t := range p.targets {
		if p.tree.key(index) > keyDead || tried.has(t) {
			continue
		}
		if halfOpen, ok := t.reserve(false); ok {
			return t, halfOpen
		}
	}
	return nil, false
}

// next returns the first index, from from on, whose key is at most most and whose target the session has not tried; -1 if
// there is none.
func (p *priority) next(from int, most uint64, tried *Attempts) int {
	for index := from; ; index++ {
		index = p.tree.next(index, most)
		if index < 0 || !tried.has(p.targets[index]) {
			return index
		}
	}
}

// nextInTurn takes the next turn of the targets whose key is at most most; -1 if there is none.
func (p *priority) nextInTurn(most uint64, tried *Attempts) int {
	return p.turns.next(func(from int) int { return p.next(from, most, tried) })
}

// nextAfterLast returns the next index after the target that the session tried last.
func (p *priority) nextAfterLast(tried *Attempts, live bool) int {
	most, from := uint64(keyDead), 0
	if live {
		most = keyDemoted
	}
	if last := tried.Last().active.Load(); last != nil && last.priority == p {
		from = last.index + 1
	}
	index := p.next(from, most, tried)
	if index < 0 && from > 0 {
		index = p.next(0, most, tried)
	}
	return index
}

// leastKey returns the least key of the live targets that the session has not tried, or maxAlive.
func (p *priority) leastKey(tried *Attempts) uint64 {
	least := uint64(maxAlive)
	if tried.Len() == 0 {
		return min(least, p.tree.min())
	}
	for index := p.next(0, maxAlive, tried); index >= 0; index = p.next(index+1, least, tried) {
		least = min(least, p.tree.key(index))
	}
	return least
}

// isStale updates the key at index and reports whether it was too low.
func (p *priority) isStale(index int) bool {
	before := p.tree.key(index)
	p.targets[index].updateKey()
	return p.tree.key(index) > before
}
