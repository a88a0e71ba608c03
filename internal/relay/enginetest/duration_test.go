package enginetest

import (
	"io"
	"net/netip"
	"testing"
	"time"

	"tcp-proxy/internal/proxyproto"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/testkit"
)

// A session may be open for so long, whatever it does, and whether it has a target or not.
func TestMaxDuration(t *testing.T) {
	const limit = 500 * time.Millisecond
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

// The time that a session may be open begins when it is accepted: one that is accepted first ends first, though it has its
// target last.
func TestMaxDurationBeginsWithAccept(t *testing.T) {
	change := func(r *relay.Route) {
		r.ProxyFrom, r.ProxyTimeout = anywhere, testkit.Timeout
		r.MaxDuration = 1500 * time.Millisecond
	}
	eachTCP(t, change, func(r *rig) {
		first := r.dial()
		testkit.Eventually(r.T, "the first is accepted", func() bool { return r.workers.Busy() == 1 })
		time.Sleep(500 * time.Millisecond) // this much earlier
		second := r.dial()
		io.WriteString(second, greeting(1))
		r.accept()
		time.Sleep(500 * time.Millisecond) // and this much later
		io.WriteString(first, headerOf(1, proxyproto.Header{Source: theirFirst, Destination: door}))
		r.accept()
		for _, want := range []netip.AddrPort{theirFirst, theirs} {
			if rec := r.expectCause(relay.MaxDuration); rec.Client != want.String() {
				r.Errorf("the session of %s ends, want that of %v", rec.Client, want)
			}
		}
	})
}

var theirFirst = netip.MustParseAddrPort("192.0.2.8:4712")
