package soak

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"

	"tcp-proxy/tests/harness"
)

// change makes one change: every fifth is a reload.
func (s *soak) change(t *testing.T) {
	t.Helper()
	if s.changed()%5 == 4 {
		s.reload()
		return
	}
	i := 1 + s.random.IntN(len(s.targets)-1)
	switch target := s.targets[i]; s.random.IntN(4) {
	case 0:
		s.comeOrGo(target)
	case 1:
		s.drain(t, target)
	case 2:
		s.die()
	case 3:
		target.configured = !target.configured // active after the next reload
		s.count("targets")
	}
}

func (s *soak) count(what string) { s.counts[what]++ }

// reload activates another configuration. Before it removes ports, it waits for clients that are connecting.
func (s *soak) reload() {
	extra := s.random.IntN(3) > 0
	if !extra {
		s.steady.Lock()
		defer s.steady.Unlock()
		s.extra.Store(false)
	}
	s.proxy.Reload(s.config(extra))
	s.extra.Store(extra)
	s.count("reloads")
}

// comeOrGo makes a target leave, so that it refuses connections while its sessions go on, or come back.
func (s *soak) comeOrGo(target *place) {
	s.steady.Lock()
	defer s.steady.Unlock()
	if target.there {
		target.Leave()
	} else {
		target.Restart()
	}
	target.there = !target.there
	s.count("targets that leave or come")
}

// die stops a target of the app mortal with all its sessions, and starts it again.
func (s *soak) die() {
	target := s.mortal[s.random.IntN(len(s.mortal))]
	target.Stop()
	target.Restart()
	s.count("targets that die")
}

// drain drains a target, or undrains it.
func (s *soak) drain(t *testing.T, target *place) {
	t.Helper()
	order := "drain"
	if target.drained {
		order = "undrain"
	}
	code := s.order(t, fmt.Sprintf("/api/v1/apps/plain/targets/%s/%s", url.PathEscape(target.Address), order))
	switch code {
	case http.StatusNoContent:
		target.drained = !target.drained
		s.count("drains")
	case http.StatusNotFound: // it is not in the active configuration
		target.drained = false
	default:
		t.Fatalf("%s: %d", order, code)
	}
}

// order sends a command to the proxy.
func (s *soak) order(t *testing.T, path string) int {
	t.Helper()
	client := http.Client{Timeout: harness.Timeout, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", s.socket)
		},
	}}
	answer, err := client.Post("http://localhost"+path, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body) // the code says all
	return answer.StatusCode
}
