package admin

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/proxy"
	"tcp-proxy/internal/relay"
)

// Lists are made one after the other, with pauses that leave most of the time to others. Who waits too long is refused.
func TestLister(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLister()
		begun := time.Now()
		const lists, took = 5, 10 * time.Millisecond
		for range lists {
			if !l.begin(t.Context()) {
				t.Fatal("nobody else has the turn")
			}
			time.Sleep(took)
			l.end()
		}
		if all, least := time.Since(begun), (lists-1)*renderingShare*took; all < least {
			t.Errorf("%d lists in %v, want at least %v", lists, all, least)
		}
		time.Sleep(time.Minute)
		if !l.begin(t.Context()) {
			t.Fatal("nobody has the turn")
		}
		begun = time.Now()
		if l.begin(t.Context()) || time.Since(begun) != listWait {
			t.Errorf("a second turn, or none after %v", time.Since(begun))
		}
		time.Sleep(time.Hour)
		l.end() // a list that has taken long is followed by a pause that is not
		begun = time.Now()
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if l.begin(gone) {
			t.Error("a client that is gone has a turn")
		}
		if !l.begin(t.Context()) || time.Since(begun) > listPause {
			t.Errorf("a turn after %v", time.Since(begun))
		}
		l.end()
	})
}

// Who may close sessions closes them; others read the list.
func TestSessionsOfTheNode(t *testing.T) {
	a := start(t)
	a.node.SetSessions(proxy.Session{ID: 7, App: "web", State: relay.Established}, proxy.Session{ID: 8, App: "web", State: relay.Connecting})
	for address, mayClose := range map[config.AdminAddress]string{a.socket: "true", a.tcp: "false"} {
		got := a.ask(address, http.MethodGet, "/api/v1/sessions?search=connect")
		if got.code != http.StatusOK || !strings.Contains(got.body, `"matching":1`) || !strings.Contains(got.body, `"may_close":`+mayClose) {
			t.Errorf("%d %s", got.code, got.body)
		}
	}
	a.expect(a.ask(a.tcp, http.MethodPost, "/api/v1/sessions/7/close"), http.StatusForbidden, "read-only")
	a.expect(a.ask(a.socket, http.MethodPost, "/api/v1/sessions/9/close"), http.StatusNotFound, "session 9: it has ended, or there never was one")
	a.expect(a.ask(a.socket, http.MethodPost, "/api/v1/sessions/-1/close"), http.StatusBadRequest, "the ID of a session is a number")
	if got := a.ask(a.socket, http.MethodPost, "/api/v1/sessions/7/close"); got.code != http.StatusNoContent {
		t.Errorf("%d %s", got.code, got.body)
	}
	if got := a.ask(a.tcp, http.MethodGet, "/api/v1/sessions"); !strings.Contains(got.body, `"open":1`) {
		t.Errorf("after that: %s", got.body)
	}
}
