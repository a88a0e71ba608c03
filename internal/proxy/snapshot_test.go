package proxy

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"testing"

	"tcp-proxy/internal/testkit"
	"tcp-proxy/internal/upstream"
)

func eachEngine(t *testing.T, test func(t *testing.T, engine string)) {
	for engine := range engines {
		t.Run(engine, func(t *testing.T) { test(t, engine) })
	}
}

// kinds returns the kinds of the events of a snapshot.
func kinds(s Snapshot) (kinds []string) {
	for _, e := range s.Events {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

func TestSnapshot(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		ip := ownAddress()
		serveName(t, "tcp", ip+":9", "target")
		s := start(t, parse(t, ip, `{"engine": "`+engine+`", "max_workers": 7, "apps": [
			{"name": "a", "ports": ["IP:2", "IP:1"], "probe": {"when": "never"},
			 "targets": ["IP:9", {"address": "IP:8", "weight": 3, "backup": true, "max_sessions": 5, "down": true}]},
			{"name": "limited", "ports": ["IP:5"], "targets": ["IP:9"], "max_sessions": 10, "max_sessions_per_source": 5, "sessions_per_second": 4,
			 "sessions_per_second_per_source": 3, "bytes_per_second": {"download": 1000}},
			{"name": "closed", "ports": ["IP:3"], "targets": ["IP:9"], "deny": ["127.0.0.0/8"]},
			{"name": "lost", "ports": ["IP:4"], "targets": ["IP:7"], "probe": {"when": "never"}}]}`))

		idle := s.Snapshot()
		if idle.Version != SnapshotVersion || idle.State != Serving || idle.Engine != engine || idle.Started.IsZero() || idle.Taken.Before(idle.Started) {
			t.Errorf("of the server: %+v", idle)
		}
		if idle.Workers.Busy != 0 || idle.Workers.Max != 7 || len(idle.Apps) != 4 || len(idle.Names) != 0 {
			t.Errorf("of the server: %+v", idle)
		}
		a := idle.Apps[0]
		if a.Name != "a" || a.Balance != "round_robin" || len(a.Ports) != 2 || a.Ports[0].Name != ip+":2" || a.Ports[1].Name != ip+":1" {
			t.Errorf("of the app: %+v", a)
		}
		limits, err := json.Marshal(idle.Apps[1].Limits)
		if want := `{"max_sessions":10,"max_sessions_per_source":5,"sessions_per_second":4,"sessions_per_second_per_source":3,"bytes_per_second":{"download":1000}}`; err != nil || string(limits) != want || a.Limits != nil {
			t.Errorf("the limits are %s, want %s; those of an app without any are %v", limits, want, a.Limits)
		}
		if x := a.Targets[1]; x.Name != ip+":8" || x.Address != ip+":8" || x.State != upstream.Down || x.Weight != 3 || !x.Backup || x.MaxSessions != 5 {
			t.Errorf("of a target: %+v", x)
		}

		c, _, err := dial("tcp", ip+":1", len("target"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		testkit.Eventually(t, "the bytes of a session that is open are counted", func() bool {
			a := s.Snapshot().Apps[0]
			return a.Upload == 1000 && a.Download == 1006 && a.Targets[0].Upload == 1000 && a.Targets[0].Download == 1006
		})
		open := s.Snapshot()
		if a := open.Apps[0]; open.Workers.Busy != 1 || a.Active != 1 || a.Targets[0].Active != 1 || a.Targets[0].Sessions != 1 || len(a.Ended) != 0 {
			t.Errorf("with a session: %+v", open)
		}
		c.Close()
		testkit.Eventually(t, "the session has ended", func() bool { return s.Snapshot().Apps[0].Ended["client_closed"] == 1 })
		if a := s.Snapshot().Apps[0]; a.Active != 0 || a.Upload != 1000 || a.Download != 1006 || a.Targets[0].Upload != 1000 || a.Targets[0].Download != 1006 || a.Connect.Total != 1 || a.Session.Total != 1 {
			t.Errorf("after it: %+v", a)
		}

		for _, port := range []string{":3", ":4"} {
			if c, err := net.Dial("tcp", ip+port); err == nil {
				io.ReadAll(c)
				c.Close()
			}
		}
		testkit.Eventually(t, "two more have ended", func() bool {
			s := s.Snapshot()
			return s.Apps[2].Ended["denied"] == 1 && s.Apps[3].Ended["connect_failed"] == 1
		})
		after := s.Snapshot()
		if after.Apps[2].Refused["denied"] != 1 || after.Apps[2].Targets[0].Sessions != 0 {
			t.Errorf("of the app that refuses: %+v", after.Apps[2])
		}
		if x := after.Apps[3].Targets[0]; x.State != upstream.Dead || x.Reason == "" || x.Failures["refused"] != 1 || x.Retry <= 0 || x.Since.Before(after.Started) {
			t.Errorf("of the dead target: %+v", x)
		}
		testkit.Eventually(t, "it was started, refused somebody, and found a target dead", func() bool { return len(s.Snapshot().Events) == 3 })
	})
}

func TestDrain(t *testing.T) {
	ip := ownAddress()
	serveName(t, "tcp", ip+":8", "one")
	serveName(t, "tcp", ip+":9", "two")
	s := start(t, parse(t, ip, `{"apps": [{"name": "a", "ports": ["IP:1"], "targets": ["IP:8", "IP:9"]}]}`))
	held, name, err := dial("tcp", ip+":1", 3)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	other := map[string]string{"one": "two", "two": "one"}[name]
	address := map[string]string{"one": ip + ":8", "two": ip + ":9"}[name]
	if err := s.DrainTarget("a", address, true); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(parse(t, ip, `{"apps": [{"name": "a", "ports": ["IP:1"], "targets": ["IP:8", "IP:9"], "idle_timeout": "1h"}]}`)); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		reaches(t, "tcp", ip+":1", other)
	}
	if _, err := held.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(held, make([]byte, 1)); err != nil {
		t.Errorf("the session of a target that drains: %v", err)
	}
	if err := s.DrainTarget("a", address, false); err != nil {
		t.Fatal(err)
	}
	reaches(t, "tcp", ip+":1", "one")
	reaches(t, "tcp", ip+":1", "two")

	if err := s.DrainTarget("b", address, true); !errors.Is(err, ErrNoApp) {
		t.Errorf("another app: %v", err)
	}
	if err := s.DrainTarget("a", "nobody:1", true); !errors.Is(err, ErrNoTarget) {
		t.Errorf("another target: %v", err)
	}

	s.Drain(true)
	s.Drain(true)
	if got := s.Snapshot().State; got != Draining {
		t.Errorf("the server is %s", got)
	}
	reaches(t, "tcp", ip+":1", "one")
	s.Drain(false)
	snapshot := s.Snapshot()
	if snapshot.State != Serving {
		t.Errorf("the server is %s", snapshot.State)
	}
	if got, want := len(kinds(snapshot)), 6; got != want {
		t.Errorf("%d events, want %d: %v", got, want, kinds(snapshot))
	}
}

func TestReloadsAreCounted(t *testing.T) {
	ip := ownAddress()
	const text = `{"apps": [{"name": "a", "ports": ["IP:1"], "targets": ["IP:8"]}]}`
	s := start(t, parse(t, ip, text))
	if r := s.Snapshot().Reloads; r.Succeeded != 1 || r.Refused != 0 || r.LastSuccess.IsZero() {
		t.Errorf("at the start: %+v", r)
	}
	s.ReloadRefused(errors.New("a mistake"))
	if r := s.Snapshot().Reloads; r.Succeeded != 1 || r.Refused != 1 || r.Problem != "a mistake" {
		t.Errorf("after a mistake: %+v", r)
	}
	if _, err := s.Apply(parse(t, ip, text)); err != nil {
		t.Fatal(err)
	}
	if r := s.Snapshot().Reloads; r.Succeeded != 2 || r.Refused != 1 || r.Problem != "" {
		t.Errorf("after a reload: %+v", r)
	}
}

func TestChanges(t *testing.T) {
	ip := ownAddress()
	cfg := func(text string) Changes {
		return ChangesOf(
			parse(t, ip, `{"apps": [{"name": "a", "ports": ["IP:1"], "targets": ["IP:8"]}, {"name": "b", "ports": ["IP:2"], "targets": ["IP:8"]}]}`),
			parse(t, ip, text))
	}
	for text, want := range map[string]string{
		`{"apps": [{"name": "a", "ports": ["IP:1"], "targets": ["IP:8"]}, /* the same */ {"name": "b", "ports": ["IP:2"], "targets": ["IP:8"]}]}`:                               "nothing has changed",
		`{"apps": [{"name": "b", "ports": ["IP:2"], "targets": ["IP:8"]}]}`:                                                                                                     "removed a",
		`{"apps": [{"name": "a", "ports": ["IP:1"], "targets": ["IP:8"]}, {"name": "c", "ports": ["IP:2"], "targets": ["IP:8"]}]}`:                                              "added c; removed b",
		`{"apps": [{"name": "a", "ports": ["IP:3"], "targets": ["IP:9"], "max_sessions": 1}, {"name": "b", "ports": ["IP:2"], "targets": ["IP:8"]}]}`:                           "changed a: ports, targets, policy",
		`{"max_workers": 3, "log": {"level": "error"}, "apps": [{"name": "a", "ports": ["IP:1"], "targets": ["IP:8"]}, {"name": "b", "ports": ["IP:2"], "targets": ["IP:8"]}]}`: "global: log, max_workers",
	} {
		if got := cfg(text).String(); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// The snapshot shows which address is demoted, and for how much longer.
func TestSnapshotShowsDemotedTarget(t *testing.T) {
	ip := ownAddress()
	s := start(t, parse(t, ip, `{"apps": [{"name": "a", "ports": ["IP:1"], "targets": ["IP:8"]}]}`))
	x := s.apps[0].targets.All()[0]
	for range 3 {
		if got := s.Snapshot().Apps[0].Targets[0]; got.Second != 0 {
			t.Errorf("it is demoted already: %+v", got)
		}
		x.LostRace(false)
	}
	if got := s.Snapshot().Apps[0].Targets[0]; got.State != upstream.Alive || got.Second < 60 || got.Second > 600 {
		t.Errorf("%+v", got)
	}
}
