package upstream

import (
	"math/rand/v2"
	"net/netip"

	"tcp-proxy/internal/config"
)

// tier is targets that are picked in each other's place. A tier is tried when those before it can take no session.
type tier struct {
	targets  []*Target
	tree     *tree
	byWeight turns    // of those who live
	dead     turns    // of those who do not
	sums     []uint64 // of weights, up to and with each target's
	total    uint64   // of them all
	ring     *ring    // of source_hash
	balancer *balancer
	queue    *queue
	rand     func() uint64
}

// newTier makes a tier of targets that come one after another. Their keys are those of targets that take no sessions,
// until show.
func newTier(s *Set, targets []*Target) *tier {
	r := &tier{targets: targets, tree: newTree(len(targets)), balancer: s.policy.balancer, queue: &s.line.queue, rand: rand.Uint64}
	weights := make([]int, len(targets))
	for place, t := range targets {
		t.tier, t.place = r, place
		weights[place] = t.Weight
		r.total += uint64(t.Weight)
		r.sums = append(r.sums, r.total)
	}
	r.byWeight.layOut(weights)
	r.dead.places, r.dead.rounds = uint64(len(targets)), 1
	if s.policy.Balance == config.BalanceSourceHash {
		r.ring = newRing(targets)
	}
	return r
}

// follow goes on in turn where another tier is.
func (r *tier) follow(before *tier) {
	r.byWeight.follow(&before.byWeight)
	r.dead.follow(&before.dead)
}

// pick chooses a target for a session, among those who live or among the others, and reserves a place on it; nil if
// there is none.
func (r *tier) pick(tried *Attempts, source netip.Addr, live bool) (t *Target, trial bool) {
	for {
		place := 0
		switch {
		case tried.aimless():
			place = r.onward(tried, live)
		case live:
			if place = r.balancer.choose(r, tried, source); place < 0 {
				place = r.inTurn(keySecond, tried)
			}
		default:
			place = r.dead.take(func(from int) int { return r.next(from, keyDead, tried) })
		}
		if place < 0 {
			return nil, false
		}
		t := r.targets[place]
		if trial, ok := t.reserve(live); ok {
			return t, trial
		}
		t.show() // it has changed
	}
}

// search goes through the targets one by one: it sees what pick may miss while keys change.
func (r *tier) search(tried *Attempts) (t *Target, trial bool) {
	for place, t := range r.targets {
		if r.tree.at(place) > keyDead || tried.has(t) {
			continue
		}
		if trial, ok := t.reserve(false); ok {
			return t, trial
		}
	}
	return nil, false
}

// next is the first place, from this one on, whose key is at most most and that was not tried; -1 if there is none.
func (r *tier) next(from int, most uint64, tried *Attempts) int {
	for place := from; ; place++ {
		place = r.tree.next(place, most)
		if place < 0 || !tried.has(r.targets[place]) {
			return place
		}
	}
}

// inTurn takes the next turn of those whose key is at most most; -1 if there is none.
func (r *tier) inTurn(most uint64, tried *Attempts) int {
	return r.byWeight.take(func(from int) int { return r.next(from, most, tried) })
}

// onward is the next place after the one that was tried last.
func (r *tier) onward(tried *Attempts, live bool) int {
	most, from := uint64(keyDead), 0
	if live {
		most = keySecond
	}
	if last := tried.Last().now.Load(); last != nil && last.tier == r {
		from = last.place + 1
	}
	place := r.next(from, most, tried)
	if place < 0 && from > 0 {
		place = r.next(0, most, tried)
	}
	return place
}

// least is the least key of those who live and were not tried, or lives.
func (r *tier) least(tried *Attempts) uint64 {
	least := uint64(lives)
	if tried.Len() == 0 {
		return min(least, r.tree.least())
	}
	for place := r.next(0, lives, tried); place >= 0; place = r.next(place+1, least, tried) {
		least = min(least, r.tree.at(place))
	}
	return least
}

// outdated reports whether the key of a place was not true any more. It is then.
func (r *tier) outdated(place int) bool {
	before := r.tree.at(place)
	r.targets[place].show()
	return r.tree.at(place) > before
}
