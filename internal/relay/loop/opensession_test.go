package loop

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/testkit"
)

// waiting begins sessions that wait for a PROXY header.
func (s *still) waiting(n int) {
	route := *s.port.Route.Load()
	route.ProxyFrom = admit.NewNetworks([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")})
	s.port.Route.Store(&route)
	for range n {
		s.session()
	}
}

// A list of many sessions leaves a loop its turns: between two readings of the clock it visits a few.
func TestListIsBounded(t *testing.T) {
	const sessions = 10 * sweepStride
	s := newStill(t, missing(1)...)
	s.waiting(sessions)
	visited := 0
	slow := func(*relay.OpenSession) bool {
		visited++
		for begun := time.Now(); time.Since(begun) < 100*time.Microsecond; { // sweepStride of them take longer than a slice
		}
		return true
	}
	list := make(chan relay.OpenSessions, 1)
	go func() { list <- s.engine.Sessions(context.Background(), relay.Selection{Match: slow, Limit: 3}) }()
	for visited < sessions {
		before := visited
		s.reactor.Wait(s.reactor.Timeout(0))
		s.reactor.RunCommands()
		if n := visited - before; n > sweepStride {
			t.Fatalf("a turn has visited %d sessions", n)
		}
	}
	s.reactor.RunCommands()
	if found := testkit.Receive(t, "the list", list); found.Open != sessions || found.Matching != sessions || len(found.Oldest) != 3 {
		t.Errorf("%d of %d, which match %d", len(found.Oldest), found.Open, found.Matching)
	}
	s.engine.End(relay.Stopped)
	s.reactor.RunCommands()
}

// The list has the sessions of the loops that answer, and says how many do not.
func TestListOfALoopThatDoesNotAnswer(t *testing.T) {
	s := newStill(t, missing(1)...)
	s.waiting(2)
	stuck, err := newLoop(s.engine, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.free()
	s.engine.loops = append(s.engine.loops, stuck)
	go s.run()
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	found := s.engine.Sessions(ctx, relay.Selection{Limit: 10})
	if found.Missing != 1 || found.Loops != 2 || len(found.Oldest) != 2 {
		t.Fatalf("%+v", found)
	}
	// One that is found ends all the same; of another nothing is known.
	if err := s.engine.EndSession(ctx, found.Oldest[0].ID+100, relay.OperatorReset); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a session that may be in the loop that does not answer: %v", err)
	}
	if err := s.engine.EndSession(context.Background(), found.Oldest[0].ID, relay.OperatorReset); err != nil {
		t.Errorf("a session of the loop that answers: %v", err)
	}
	s.engine.End(relay.Stopped)
	s.reactor.Post(func() { s.stopping = true })
	<-s.loop.ended
	if n := len(s.ended); n != 2 || s.ended[0].Cause != relay.OperatorReset {
		t.Errorf("%d sessions have ended: %+v", n, s.ended)
	}
}
