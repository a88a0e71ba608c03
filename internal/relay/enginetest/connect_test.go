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
	}, resting...)
}

// The connect time of a target is that of the attempt at it: all that it took to answer, and nothing of the attempts before.
func TestConnectTimeIsOfOneAttempt(t *testing.T) {
	const limit, pause = 200 * time.Millisecond, 300 * time.Millisecond
	eachTCP(t, nil, func(r *rig) {
		hole := testkit.NewBlackhole(r.T, "127.0.0.1:0")
		targets := r.setRoute(func(route *relay.Route) { route.ConnectTimeout = limit }, addressAt(hole.Addr), addressOf(r.target)).Targets.All()
		client, server := r.session()
		rec := r.finish(client, server)
		if took := targets[1].Condition().ConnectTime; took <= 0 || took > rec.Connect-limit {
			r.Errorf("the second target took %v of %v, in which the first was waited for for %v", took, rec.Connect, limit)
		}

		x := r.setRoute(nil, addressAt(hole.Addr)).Targets.All()[0]
		client = r.dial()
		testkit.Eventually(r.T, "it connects", func() bool { return x.Sessions() == 1 })
		time.Sleep(pause) // which the target takes
		server = r.adopt(hole.Open())
		rec = r.finish(client, server)
		if took := x.Condition().ConnectTime; took < pause || took > rec.Connect {
			r.Errorf("the target took %v, of %v", took, rec.Connect)
		}
	}, resting...)
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
