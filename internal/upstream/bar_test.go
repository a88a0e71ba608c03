package upstream

import (
	"errors"
	"testing"
	"time"

	"tcp-proxy/internal/config"
)

// A barred target is dead and takes no session, even if no other is left. The results of its connects and probes are
// kept and count again afterwards.
func TestBar(t *testing.T) {
	s := newSet(2, nil)
	a, b := s.All()[0], s.All()[1]
	since := a.Condition().Since
	time.Sleep(time.Millisecond)
	if !a.Bar("it leads back") || a.Bar("it still does") {
		t.Error("the first bar must change something, and the second nothing")
	}
	if c := a.Condition(); c.State != Dead || c.Reason != "it still does" || !c.Since.After(since) || a.Dead() {
		t.Errorf("%+v, dead = %v", c, a.Dead())
	}
	if got := letters(t, s, 3); got != "bbb" {
		t.Error(got)
	}
	a.Probed(nil)
	if a.State() != Dead {
		t.Error("a probe brings it back")
	}
	b.Failed(false, errConnect)
	var tried Attempts
	if got, _, err := s.Pick(&tried, noClient); got != b || err != nil {
		t.Error(got, err)
	}
	if got, _, err := s.Pick(&tried, noClient); !errors.Is(err, ErrNone) {
		t.Error(got, err)
	}
	if !a.Bar("") || a.Bar("") {
		t.Error("undoing the bar must change something once")
	}
	if c := a.Condition(); c.State != Alive || c.Reason != "" {
		t.Errorf("%+v", c)
	}
	if got := letters(t, s, 2); got != "aa" {
		t.Error(got)
	}
}

// When a target is no longer barred, a waiting session gets a slot on it.
func TestWaitingSessionGetsTargetThatIsNoLongerBarred(t *testing.T) {
	s := newSet(2, func(i int, t *config.Target) { t.MaxSessions = 1 })
	s.All()[0].Bar("it leads back")
	held := pick(t, s)
	var tried Attempts
	if _, _, err := s.Pick(&tried, noClient); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	granted := make(chan struct{})
	w := s.Await(&tried, noClient, func() { close(granted) })
	defer w.Cancel()
	s.All()[0].Bar("")
	<-granted
	held.Release()
}

// An address that no connection can go to never becomes a target. If an answer has no other, the name keeps its
// previous addresses.
func TestUpdateIgnoresAddressesThatCannotBeTargets(t *testing.T) {
	s := NewSet([]config.Target{{Address: web}}, Policy{}, nil)
	s.Resolved(web, endpoints("0.0.0.0:80", "[::]:80", "[::ffff:0.0.0.0]:80"))
	var tried Attempts
	if _, _, err := s.Pick(&tried, noClient); !errors.Is(err, ErrNone) || len(s.All()) != 0 {
		t.Fatal("a session waits for a name that has an answer, but no address:", err, named(s))
	}
	s.Resolved(web, endpoints("0.0.0.0:80", "10.0.0.1:80", "10.0.0.2:0", "224.0.0.1:80", "255.255.255.255:80", "[ff02::1]:80"))
	if got := named(s); got != "web.internal:80/10.0.0.1:80" {
		t.Error(got)
	}
	s.Resolved(web, endpoints("0.0.0.0:80"))
	if got := named(s); got != "web.internal:80/10.0.0.1:80" {
		t.Error("an answer without a usable address takes the last one away:", got)
	}
}
