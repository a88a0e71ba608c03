package hostile

import (
	"flag"
	"os"
	"testing"
	"time"

	"tcp-proxy/tests/harness"
	"tcp-proxy/tests/peers"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

var sessions = flag.Uint64("sessions", 20_000, "how many sessions, of both engines together")

// Whatever hostile peers do, honest clients are served, every byte arrives, every session ends with a correct record, and
// nothing leaks. At the end, the rig checks descriptors and goroutines.
func TestHostilePeers(t *testing.T) {
	drawn := peers.Seed()
	harness.EachEngineAlone(t, func(t *testing.T, engine string) {
		t.Logf("seed %d; again with: go test ./tests/hostile -run '/%s' -args -sessions %d -seed %d", drawn, engine, *sessions, drawn)
		r := &run{scene: newScene(harness.New(t, engine)), seed: drawn, counts: map[string]int{}}
		// The first sessions fill caches and pools, which is not a leak.
		r.sessions = *sessions / 10
		began := time.Now()
		r.play(*peers.Progress)
		peers.Settle(t, r.ledger, r.proxy, r.admin)
		warm := peers.Weigh(t, r.proxy, r.admin)
		r.sessions = *sessions / 2
		r.next.Store(*sessions / 10)
		r.play(*peers.Progress)
		peers.Settle(t, r.ledger, r.proxy, r.admin)
		peers.CompareMemory(t, warm, peers.Weigh(t, r.proxy, r.admin))
		t.Logf("%d sessions in %v, the longest of who has to be served %v:%s", r.done.Load(), time.Since(began).Round(time.Second), r.slow.Round(time.Millisecond), r.summary())
	})
}
