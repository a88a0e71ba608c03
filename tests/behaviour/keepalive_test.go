package behaviour

import (
	"fmt"
	"testing"
	"time"

	"tcp-proxy/tests/harness"
)

// Both sockets of a session are probed as the configuration says, so that a peer that has vanished is found.
func TestKeepalive(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		for _, test := range []struct {
			keepalive any
			low, high time.Duration // of the time to the first probe
		}{
			{nil, time.Second, 60 * time.Second},
			{map[string]any{"idle": "1000s"}, 900 * time.Second, 1000 * time.Second},
			{map[string]any{"idle": "120s", "interval": "7s", "count": 2}, 61 * time.Second, 120 * time.Second},
			{false, 0, 0},
		} {
			t.Run(fmt.Sprint(test.keepalive), func(t *testing.T) {
				r := harness.New(t, engine)
				p, target := transports[0].start(r, harness.App{Keepalive: test.keepalive})
				client, server := p.Session(target)
				client.Exchange(server, harness.Bytes(1, 100))
				server.Exchange(client, harness.Bytes(2, 100))
				for side, probe := range map[string]time.Duration{
					"client": harness.KeepaliveTimer(t, p.Address(), client.LocalAddr().String()),
					"target": harness.KeepaliveTimer(t, server.RemoteAddr().String(), target.Address),
				} {
					if probe < test.low || probe > test.high {
						t.Errorf("the first probe of the %s is due in %v, want %v to %v", side, probe, test.low, test.high)
					}
				}
			})
		}
	})
}
