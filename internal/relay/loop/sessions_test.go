package loop

import (
	"testing"

	"tcp-proxy/internal/relay/session"
)

// A slot that is used again is another session, in which nothing is left of the one before.
func TestSessionTable(t *testing.T) {
	var all sessionTable
	s := all.take()
	id, key := s.id, all.key(s)
	if all.Find(key) != s {
		t.Fatal("the session is not found")
	}
	s.Phase = session.Relaying
	s.side[target].fd = 7
	s.flow[0].moved = 7
	all.cold(s).held[0] = []byte("x")
	all.give(s)
	if all.Find(key) != nil {
		t.Error("a session that has ended is found")
	}
	again := all.take()
	if again.id != id || again.Phase != session.None || again.flow[0].moved != 0 || again.side != noSides || all.cold(again).held[0] != nil {
		t.Errorf("the slot that was given back is %+v", again)
	}
	if all.Find(key) != nil || all.Find(all.key(again)) != again {
		t.Error("the former session is found in place of the new one")
	}
	for range 200 {
		if s := all.take(); s.side != noSides || all.cold(s) == all.cold(again) {
			t.Fatalf("a slot that was never used is %+v", s)
		}
	}
}
