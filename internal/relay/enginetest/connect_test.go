package enginetest

import (
	"strings"
	"testing"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/testkit"
	"tcp-proxy/internal/upstream"
)

// Nobody listens there.
var (
	dead    = config.Address{Network: "tcp", Host: "127.0.0.1", Port: 1}
	missing = config.Address{Network: "unix", Path: "/nonexistent/socket"}
)

// The next target is tried when one refuses, and the client is reset when none is left.
func TestFailOver(t *testing.T) {
	eachTCP(t, nil, func(r *rig) {
		r.setRoute(nil, dead, missing, addressOf(r.target))
		client, server := r.session()
		r.exchange(client, server, 100)
		if rec := r.finish(client, server); rec.Attempts != 3 {
			r.Errorf("record %+v, want 3 attempts", rec)
		}
		r.setRoute(nil, dead, missing)
		r.refused()
		if rec := r.expectCause(relay.ConnectFailed); rec.Attempts != 2 || !strings.Contains(rec.Err.Error(), "connect to ") {
			r.Errorf("record %+v, want 2 attempts", rec)
		}
	})
}

func TestConnectTimeout(t *testing.T) {
	eachTCP(t, nil, func(r *rig) {
		hole := addressAt(testkit.NewBlackhole(r.T, "127.0.0.1:0").Addr)
		r.setRoute(func(route *relay.Route) { route.ConnectTimeout = 150 * time.Millisecond }, hole, addressOf(r.target))
		client, server := r.session()
		r.exchange(client, server, 100)
		if rec := r.finish(client, server); rec.Attempts != 2 || rec.Connect < 150*time.Millisecond {
			r.Errorf("record %+v", rec)
		}
	})
}

// A session that connects ends when its client resets, or when it is told to, and that tells nothing of the target.
func TestEndWhileConnecting(t *testing.T) {
	eachTCP(t, nil, func(r *rig) {
		hole := addressAt(testkit.NewBlackhole(r.T, "127.0.0.1:0").Addr)
		x := r.setRoute(nil, hole).Targets.All()[0]
		for _, cause := range []relay.Cause{relay.ClientReset, relay.Stopped} {
			client := r.dial()
			testkit.Eventually(r.T, "it connects", func() bool { return x.Sessions() == 1 })
			if cause == relay.ClientReset {
				testkit.Reset(client)
			} else {
				r.engine.End(cause)
				r.expectReset(client)
			}
			if rec := r.expectCause(cause); rec.Target != hole.String() || rec.Attempts != 1 {
				r.Errorf("%+v", rec)
			}
			if x.State() != upstream.Alive || x.Sessions() != 0 {
				r.Errorf("the target is %s with %d sessions", x.State(), x.Sessions())
			}
		}
	})
}
