package proxy

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"tcp-proxy/internal/logging"
	"tcp-proxy/internal/upstream"
)

// drainedTexts are the texts of the events about draining, since the first skip events.
func drainedTexts(s *Server, skip int) (texts []string) {
	for _, e := range s.Snapshot().Events[skip:] {
		if e.Kind == EventTargetDrained || e.Kind == EventDraining {
			texts = append(texts, e.Text)
		}
	}
	return texts
}

// The end of draining is no promise: a target may be dead or down, and a node that stops is not ready.
func TestTheEndOfDrainingSaysWhatIsTrue(t *testing.T) {
	ip := ownAddress()
	s := start(t, parse(t, ip, `{"apps": [{"name": "a", "ports": ["IP:1"], "probe": {"when": "never"},
		"targets": ["IP:7", "IP:8", {"address": "IP:9", "down": true}]}]}`))
	all := s.apps[0].targets.All()
	before := len(s.Snapshot().Events)
	for i, want := range []string{"target takes new sessions again", "target is no longer drained; it is dead", "target is no longer drained; the configuration has it down"} {
		if i == 1 {
			all[i].Failed(false, errors.New("refused"))
		}
		for _, on := range []bool{true, true, false, false} {
			if err := s.DrainTarget("a", all[i].Name, on); err != nil {
				t.Fatal(err)
			}
		}
		if got := drainedTexts(s, before); !slices.Equal(got, []string{"target is draining: it takes no new sessions", want}) {
			t.Errorf("%s: %q", all[i].Name, got)
		}
		before = len(s.Snapshot().Events)
	}
	s.Drain(true)
	s.Drain(false)
	s.Drain(true)
	s.Stopping()
	s.Drain(false)
	if got := drainedTexts(s, before); !slices.Equal(got, []string{
		"draining: still serving, but reporting not ready", "no longer draining: ready", "draining: still serving, but reporting not ready",
		"no longer draining; not ready in any case while stopping",
	}) {
		t.Errorf("the node: %q", got)
	}
}

// Before the start the status has no time of it.
func TestSnapshotBeforeTheStart(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		ip := ownAddress()
		s, err := New(t.Context(), parse(t, ip, `{"engine": "`+engine+`", "apps": [{"ports": ["IP:1"], "targets": ["IP:8"]}]}`), logging.Discard(), nil)
		if err != nil {
			t.Fatal(err)
		}
		shown, err := json.Marshal(s.Snapshot())
		if err != nil {
			t.Fatal(err)
		}
		for _, not := range []string{`"started"`, `"last_success"`, "0001-01-01"} {
			if strings.Contains(string(shown), not) {
				t.Errorf("it has %s: %s", not, shown)
			}
		}
		if got := s.Snapshot(); got.State != Starting || got.Engine != engine {
			t.Errorf("%s, engine %q", got.State, got.Engine)
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A target that nobody has connected to is not called alive when it no longer leads back to the proxy.
func TestUntestedTargetIsNotAliveAgain(t *testing.T) {
	n := newLogged(t, "info")
	defer n.log.Close()
	a := n.targets[0]
	n.targetAlive("web", a, "it no longer leads back to this proxy")
	a.Connected(1)
	n.targetAlive("web", a, "a connection succeeded")
	var texts []string
	for _, e := range n.history.read() {
		texts = append(texts, e.Text)
	}
	if want := []string{"target is untested, and takes sessions again", "target is alive again"}; !slices.Equal(texts, want) || a.State() != upstream.Alive {
		t.Errorf("%q", texts)
	}
}

// Targets that are untested do not count as alive, and without targets none is counted.
func TestStatusCountsWhatIsKnown(t *testing.T) {
	ip := ownAddress()
	s := start(t, parse(t, ip, `{"apps": [{"name": "a", "ports": ["IP:1"], "targets": ["IP:6", "IP:7", "IP:8", {"address": "IP:9", "down": true}]}]}`))
	all := s.apps[0].targets.All()
	all[0].Connected(1)
	all[1].Probed(nil)
	if got := s.Status().String(); got != "1 app, 1 port, 2/4 targets alive, 1 untested, 0 sessions" {
		t.Error(got)
	}
	if got := (Status{Size: Size{Apps: 1, Ports: 2}}).String(); got != "1 app, 2 ports, 0 targets, 0 sessions" {
		t.Error(got)
	}
}
