package enginetest

import (
	"testing"
	"time"

	"tcp-proxy/internal/relay"
)

// A session may be open for so long, whatever it does, and whether it has a target or not.
func TestMaxDuration(t *testing.T) {
	const limit = 300 * time.Millisecond
	hole := newHole(t, "127.0.0.1").address()
	eachTransport(t, func(r *relay.Route) { r.MaxDuration, r.IdleTimeout = limit, time.Hour }, func(r *rig) {
		client, server := r.session()
		for begun := time.Now(); time.Since(begun) < limit/2; {
			r.exchange(client, server, 10)
		}
		rec := r.expectCause(relay.MaxDuration)
		if rec.Duration < limit || rec.Upload == 0 || rec.Err != nil {
			r.Errorf("%+v", rec)
		}
		r.expectReset(client)
		r.expectReset(server)

		r.setRoute(func(route *relay.Route) { route.MaxDuration = limit }, hole)
		r.expectReset(r.dial())
		if rec := r.expectCause(relay.MaxDuration); rec.Duration < limit || rec.Attempts != 1 {
			r.Errorf("while connecting: %+v", rec)
		}
	})
}
