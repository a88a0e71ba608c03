package enginetest

import (
	"net/netip"
	"testing"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/relay/session"
	"tcp-proxy/internal/testkit"
	"tcp-proxy/internal/upstream"
)

var name = config.Address{Network: "tcp", Host: "name.test", Port: 80}

// named gives the rig a target that is a name with these addresses, and returns its endpoints in their order.
func (r *rig) named(timeout time.Duration, addresses ...netip.AddrPort) []*upstream.Target {
	set := upstream.NewSet([]config.Target{{Address: name, Weight: 1}}, upstream.Policy{Retry: time.Hour, Balance: config.BalanceFirst}, nil)
	var found []upstream.Endpoint
	for i, a := range addresses {
		found = append(found, upstream.Endpoint{Addr: a, Priority: i})
	}
	set.Resolved(name, found)
	r.setRoute(func(route *relay.Route) { route.Targets, route.ConnectTimeout = set, timeout })
	return set.All()
}

// expectLeft wants no target to have a session, and says which of them are to be alive.
func (r *rig) expectLeft(targets []*upstream.Target, alive ...bool) {
	r.Helper()
	for i, x := range targets {
		if n := x.Sessions(); n != 0 {
			r.Errorf("%s still has %d sessions", x.Name, n)
		}
		if want := map[bool]upstream.State{true: upstream.Alive, false: upstream.Dead}[alive[i]]; x.State() != want {
			r.Errorf("%s is %s, want %s", x.Name, x.State(), want)
		}
	}
}

// sixth is a rig's target on ::1.
func (r *rig) sixth() netip.AddrPort {
	r.Helper()
	r.target.Close()
	r.target = testkit.ListenLow(r.T, "::1")
	return addrPort(r.target.Addr())
}

// An address that does not answer is not waited for: one of the other family is tried beside it, and the first that
// answers has the session.
func TestSecondAttemptWins(t *testing.T) {
	eachTCP(t, nil, func(r *rig) {
		four, six := testkit.NewBlackhole(r.T, "127.0.0.1:0"), r.sixth()
		targets := r.named(testkit.Timeout, four.Addr, six)
		for range 3 {
			client, server := r.session()
			r.exchange(client, server, 100_000)
			r.exchange(server, client, 100_000)
			rec := r.finish(client, server)
			if rec.Target != targets[1].Name || rec.Attempts != 2 || rec.Connect < session.RaceAfter || rec.Connect > testkit.Timeout/2 {
				r.Errorf("%+v", rec)
			}
			r.expectLeft(targets, true, true)
		}
	})
}

// An address that answers in time is not raced.
func TestNoRaceInTime(t *testing.T) {
	eachTCP(t, nil, func(r *rig) {
		hole := testkit.NewBlackhole(r.T, "[::1]:0")
		targets := r.named(testkit.Timeout, addrPort(r.target.Addr()), hole.Addr)
		client, server := r.session()
		time.Sleep(session.RaceAfter * 3 / 2)
		r.exchange(client, server, 100)
		if rec := r.finish(client, server); rec.Target != targets[0].Name || rec.Attempts != 1 {
			r.Errorf("%+v", rec)
		}
		r.expectLeft(targets, true, true)
	})
}

// One that answers late may still be first.
func TestSecondAttemptLoses(t *testing.T) {
	eachTCP(t, nil, func(r *rig) {
		four, six := testkit.NewBlackhole(r.T, "127.0.0.1:0"), testkit.NewBlackhole(r.T, "[::1]:0")
		targets := r.named(testkit.Timeout, four.Addr, six.Addr)
		client := r.dial()
		testkit.Eventually(r.T, "both are tried", func() bool { return targets[0].Sessions() == 1 && targets[1].Sessions() == 1 })
		server := r.adopt(four.Open())
		r.exchange(client, server, 100_000)
		if rec := r.finish(client, server); rec.Target != targets[0].Name || rec.Attempts != 2 {
			r.Errorf("%+v", rec)
		}
		r.expectLeft(targets, true, true)
	}, resting...)
}

// When one of the two attempts fails, the other goes on.
func TestOneOfTwoFails(t *testing.T) {
	eachTCP(t, nil, func(r *rig) {
		for failing := range 2 {
			holes := []*testkit.Blackhole{testkit.NewBlackhole(r.T, "127.0.0.1:0"), testkit.NewBlackhole(r.T, "[::1]:0")}
			targets := r.named(testkit.Timeout, holes[0].Addr, holes[1].Addr)
			client := r.dial()
			testkit.Eventually(r.T, "both are tried", func() bool { return targets[0].Sessions() == 1 && targets[1].Sessions() == 1 })
			holes[failing].Close()
			testkit.Eventually(r.T, "one is refused", func() bool { return targets[failing].Sessions() == 0 })
			server := r.adopt(holes[1-failing].Open())
			r.exchange(client, server, 100_000)
			if rec := r.finish(client, server); rec.Target != targets[1-failing].Name || rec.Attempts != 2 {
				r.Errorf("%+v", rec)
			}
			r.expectLeft(targets, failing != 0, failing != 1)
		}
	}, resting...)
}

// Each of the two has its own time.
func TestBothTimeOut(t *testing.T) {
	const limit = 400 * time.Millisecond
	eachTCP(t, nil, func(r *rig) {
		four, six := testkit.NewBlackhole(r.T, "127.0.0.1:0"), testkit.NewBlackhole(r.T, "[::1]:0")
		targets := r.named(limit, four.Addr, six.Addr)
		r.expectReset(r.dial())
		rec := r.expectCause(relay.ConnectFailed)
		if rec.Attempts != 2 || rec.Duration < limit+session.RaceAfter {
			r.Errorf("%+v", rec)
		}
		r.expectLeft(targets, false, false)
	})
}

// A second attempt that fails at once leaves the first one its time.
func TestSecondAttemptIsRefused(t *testing.T) {
	const limit = 600 * time.Millisecond
	eachTCP(t, nil, func(r *rig) {
		four, six := testkit.NewBlackhole(r.T, "127.0.0.1:0"), testkit.NewBlackhole(r.T, "[::1]:0")
		six.Close()
		targets := r.named(limit, four.Addr, six.Addr)
		r.expectReset(r.dial())
		if rec := r.expectCause(relay.ConnectFailed); rec.Attempts != 2 || rec.Duration < limit {
			r.Errorf("%+v", rec)
		}
		r.expectLeft(targets, false, false)
	})
}

// After a second attempt that fails comes another, as late as the one before.
func TestAttemptAfterAttempt(t *testing.T) {
	eachTCP(t, nil, func(r *rig) {
		four, six := testkit.NewBlackhole(r.T, "127.0.0.1:0"), testkit.NewBlackhole(r.T, "[::1]:0")
		targets := r.named(testkit.Timeout, four.Addr, six.Addr, r.sixth())
		six.Close()
		for targets[1].State() == upstream.Alive { // which of the two is raced first is chance
			client, server := r.session()
			r.exchange(client, server, 100)
			rec := r.finish(client, server)
			attempts := 2
			if targets[1].State() == upstream.Dead {
				attempts = 3
			}
			if rec.Target != targets[2].Name || rec.Attempts != attempts || rec.Connect < time.Duration(attempts-1)*session.RaceAfter {
				r.Errorf("%+v", rec)
			}
		}
		r.expectLeft(targets, true, false, true)
	})
}

// A session that connects to two ends like one that connects to one.
func TestEndWhileConnectingToTwo(t *testing.T) {
	eachTCP(t, nil, func(r *rig) {
		four, six := testkit.NewBlackhole(r.T, "127.0.0.1:0"), testkit.NewBlackhole(r.T, "[::1]:0")
		targets := r.named(testkit.Timeout, four.Addr, six.Addr)
		for _, cause := range []relay.Cause{relay.ClientReset, relay.Stopped} {
			client := r.dial()
			testkit.Eventually(r.T, "both are tried", func() bool { return targets[0].Sessions() == 1 && targets[1].Sessions() == 1 })
			if cause == relay.ClientReset {
				testkit.Reset(client)
			} else {
				r.engine.End(cause)
				r.expectReset(client)
			}
			r.expectCause(cause)
			r.expectLeft(targets, true, true)
		}
	})
}

// An address that loses races again and again is tried after the others, and costs no session any time, until it answers.
func TestTriedSecond(t *testing.T) {
	eachTCP(t, nil, func(r *rig) {
		four, six := testkit.NewBlackhole(r.T, "127.0.0.1:0"), r.sixth()
		set := upstream.NewSet([]config.Target{{Address: name, Weight: 1}}, upstream.Policy{Retry: time.Hour, Balance: config.BalanceFirst}, nil)
		set.Resolved(name, []upstream.Endpoint{{Addr: four.Addr}, {Addr: six}})
		r.setRoute(func(route *relay.Route) { route.Targets = set })
		targets := set.All()
		for i := range 5 {
			client, server := r.session()
			rec := r.finish(client, server)
			if want := map[bool]int{true: 2, false: 1}[i < 3]; rec.Target != targets[1].Name || rec.Attempts != want {
				r.Errorf("session %d: %+v", i+1, rec)
			}
		}
		r.expectLeft(targets, true, true)
		if targets[0].DemotedFor() == 0 || targets[1].DemotedFor() != 0 {
			r.Errorf("second for %v and %v", targets[0].DemotedFor(), targets[1].DemotedFor())
		}
		r.target.Close() // the other is dead now
		client := r.dial()
		testkit.Eventually(r.T, "it is tried after the other", func() bool { return targets[0].Sessions() == 1 })
		server := r.adopt(four.Open())
		r.exchange(client, server, 100)
		r.finish(client, server)
		r.expectLeft(targets, true, false)
		if targets[0].DemotedFor() != 0 {
			r.Error("it has answered, and is still second")
		}
		set.Retire()
	})
}
