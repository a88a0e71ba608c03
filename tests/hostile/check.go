package hostile

import (
	"time"

	"tcp-proxy/tests/peers"
)

// check is a client that checks every byte of both directions, with any order of turns and any end, and must be served
// correctly whatever the others do.
func check(v *visit) (peers.Truth, error) {
	most := int64(256 << 10)
	if v.slow {
		most = 20_000
	}
	plan := peers.Random(v.random, most)
	return v.meet(plan)
}

// segments is a client that sends segments of one byte and has a small receive window.
func segments(v *visit) (peers.Truth, error) {
	plan := peers.Random(v.random, 300)
	plan.Write[peers.Client] = []int{1}
	plan.Read[peers.Client] = 3
	return v.meet(plan, peers.Segments(88), peers.Window(2048)) // TCP_MIN_MSS is 88
}

// stalled is a client that does not read for a while: its window closes, and everything from the target must wait.
func stalled(v *visit) (peers.Truth, error) {
	plan := peers.Random(v.random, 200<<10)
	plan.Stall[peers.Client] = time.Duration(v.random.IntN(300)) * time.Millisecond
	return v.meet(plan, peers.Window(8<<10))
}

// meet plays a plan, both sides.
func (v *visit) meet(plan peers.Plan, options ...peers.Option) (peers.Truth, error) {
	w := v.way(options...)
	if v.header {
		var err error
		w.Claims = v.ledger.Claim()
		if w.Header, err = peers.Header(v.version(), w.Claims); err != nil {
			return peers.Truth{}, err
		}
	}
	return v.check(w, plan)
}

func (v *visit) way(options ...peers.Option) peers.Way {
	return peers.Way{App: v.name, Port: v.port(), From: v.source(), Pieces: v.pieces(), Options: options, Early: v.early()}
}

func (v *visit) check(w peers.Way, plan peers.Plan) (peers.Truth, error) {
	if v.unix {
		plan = plan.WithoutReset()
	}
	t, refused, err := v.ledger.Check(w, plan)
	if refused && v.limited {
		t.Causes = []string{"limited"}
		return t, nil
	}
	if err != nil {
		return peers.Truth{}, err
	}
	return t, nil
}
