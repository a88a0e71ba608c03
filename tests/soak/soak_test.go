package soak

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"tcp-proxy/tests/harness"
	"tcp-proxy/tests/peers"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

var both = flag.Duration("both", 30*time.Second, "how long, both engines together")

// Whatever changes, every session that has a target succeeds, and every record is correct. At the end, the rig checks
// descriptors and goroutines.
func TestSoak(t *testing.T) {
	drawn := peers.Seed()
	harness.EachEngineAlone(t, func(t *testing.T, engine string) {
		t.Logf("seed %d; again with: go test ./tests/soak -run '/%s' -args -both %v -seed %d", drawn, engine, *both, drawn)
		s := newSoak(harness.New(t, engine), drawn, *peers.Progress)
		s.run(t, *both/10)
		peers.Settle(t, s.ledger, s.proxy, s.admin)
		warm := peers.Weigh(t, s.proxy, s.admin)
		s.run(t, *both/2-*both/10)
		peers.Settle(t, s.ledger, s.proxy, s.admin)
		peers.CompareMemory(t, warm, peers.Weigh(t, s.proxy, s.admin))
		t.Logf("%d sessions, %d of them refused by limits, %d cut by targets that died; %d changes: %s",
			s.sessions.Load(), s.refused.Load(), s.cut.Load(), s.changed(), fmt.Sprint(s.counts))
	})
}
