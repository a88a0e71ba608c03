package enginetest

import (
	"testing"
	"time"

	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/testkit"
)

// A session may be open for so long, whatever it does, and whether it has a target or not.
func TestMaxDuration(t *testing.T) {
	const limit = 300 * time.Millisecond
	eachTransport(t, func(r *relay.Route) { r.MaxDuration, r.IdleTimeout = limit, time.Hour }, func(r *rig) {
		hole := addressAt(testkit.NewBlackhole(r.T, "127.0.0.1:0").Addr)
		client, server := r.session()
		for send(client, 1, 10, 10) == nil && receive(server, 1, 10) == nil { // until one of them is reset
		}
		if rec := r.expectCause(relay.MaxDuration); rec.Duration < limit || rec.Upload == 0 || rec.Err != nil {
			r.Errorf("%+v", rec)
		}

		client, server = r.session()
		r.expectReset(client)
		r.expectReset(server)
		r.expectCause(relay.MaxDuration)

		r.setRoute(func(route *relay.Route) { route.MaxDuration = limit }, hole)
		r.expectReset(r.dial())
		if rec := r.expectCause(relay.MaxDuration); rec.Duration < limit || rec.Attempts != 1 {
			r.Errorf("while connecting: %+v", rec)
		}
	})
}
