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
				t.Parallel()
				r := harness.New(t, engine)
				p, target := transports[0].start(r, harness.App{Keepalive: test.keepalive})
				client, server := p.Session(target)
				client.Exchange(server, harness.Bytes(1, 100))
				server.Exchange(client, harness.Bytes(2, 100))
				expectProbe(t, "client", test.low, test.high, p.Address(), client.LocalAddr().String())
				expectProbe(t, "target", test.low, test.high, server.RemoteAddr().String(), target.Address)
			})
		}
	})
}

// A reload that changes the keepalive changes that of the sessions to come.
func TestReloadChangesKeepalive(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		p, target := transports[0].start(r, harness.App{Keepalive: map[string]any{"idle": "1000s"}})
		p.Reload(harness.Config{Apps: []harness.App{{
			Ports: []any{p.Address()}, Targets: harness.To(target), Keepalive: map[string]any{"idle": "2000s"},
		}}})
		client, server := p.Session(target)
		client.Exchange(server, harness.Bytes(1, 100))
		expectProbe(t, "client", 1001*time.Second, 2000*time.Second, p.Address(), client.LocalAddr().String())
		expectProbe(t, "target", 1001*time.Second, 2000*time.Second, server.RemoteAddr().String(), target.Address)
	})
}

// expectProbe waits until the first keepalive probe of the proxy's socket from local to remote is due in that span. An
// engine may take a moment before it asks for probes; no session is that short that it needs them.
func expectProbe(t *testing.T, side string, low, high time.Duration, local, remote string) {
	t.Helper()
	harness.Eventually(t, fmt.Sprintf("the first probe of the %s is due in %v to %v", side, low, high), func() bool {
		probe := harness.KeepaliveTimer(t, local, remote)
		return probe >= low && probe <= high
	})
}
