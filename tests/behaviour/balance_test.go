package behaviour

import (
	"maps"
	"testing"

	"golang.org/x/sync/errgroup"

	"tcp-proxy/tests/harness"
)

func TestRoundRobinIsSharedByAllPorts(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		a, b, c := r.Identify("a"), r.Identify("b"), r.Identify("c")
		ports := []any{r.Address(), r.Address(), "unix:" + r.Path("port.sock"), r.Address()}
		r.StartApp(harness.App{Ports: ports, Targets: harness.To(a, b, c)})
		names := []string{"a", "b", "c"}
		for i := range 24 {
			got, err := r.Ask(ports[i%len(ports)].(string))
			if err != nil {
				t.Fatal(err)
			}
			if want := names[i%len(names)]; got != want {
				t.Fatalf("session %d went to %s, want %s", i, got, want)
			}
		}
	})
}

// Two apps do not share a rotation, even over the same targets.
func TestAppsDoNotShareARotation(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		a, b := r.Identify("a"), r.Identify("b")
		ports := []any{r.Address(), r.Address()}
		r.Start(harness.Config{Apps: []harness.App{
			{Name: "one", Ports: ports[:1], Targets: harness.To(a, b)},
			{Name: "two", Ports: ports[1:], Targets: harness.To(a, b)},
		}})
		for i := range 12 {
			want := []string{"a", "a", "b", "b"}[i%4]
			if got, err := r.Ask(ports[i%2].(string)); got != want || err != nil {
				t.Fatalf("session %d went to %s, %v; want %s", i, got, err, want)
			}
		}
	})
}

func TestWeights(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		a, b, c := r.Identify("a"), r.Identify("b"), r.Identify("c")
		p := r.StartApp(harness.App{Targets: []any{
			harness.TargetConfig{Address: a.Address, Weight: 5},
			harness.TargetConfig{Address: b.Address, Weight: 2},
			c.Address, // 1
		}})
		for cycle := range 3 {
			seen, row, longest, last := map[string]int{}, 0, 0, ""
			for range 8 {
				name := ask(t, r, p)
				seen[name]++
				if name != last {
					row, last = 0, name
				}
				row++
				longest = max(longest, row)
			}
			if want := (map[string]int{"a": 5, "b": 2, "c": 1}); !maps.Equal(seen, want) {
				t.Errorf("cycle %d: %v, want %v", cycle, seen, want)
			}
			if longest > 2 {
				t.Errorf("cycle %d: %d sessions in a row went to one target; the rotation is not smooth", cycle, longest)
			}
		}
		// The same with sessions side by side.
		before := []int{a.Accepted(), b.Accepted(), c.Accepted()}
		var g errgroup.Group
		for range 80 {
			g.Go(func() error {
				_, err := r.Ask(p.Address())
				return err
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		for i, target := range []*harness.Target{a, b, c} {
			if got, want := target.Accepted()-before[i], []int{50, 20, 10}[i]; got != want {
				t.Errorf("target %d took %d of 80 sessions, want %d", i, got, want)
			}
		}
	})
}

func TestBackup(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		a, b, spare := r.Identify("a"), r.Identify("b"), r.Identify("spare")
		p := r.StartApp(harness.App{Targets: []any{
			harness.TargetConfig{Address: spare.Address, Backup: true}, a.Address, b.Address,
		}, RetryDeadAfter: "100ms"})
		expectNames(t, r, p, "a", "b", "a", "b")
		a.Stop()
		expectNames(t, r, p, "b", "b", "b")
		b.Stop()
		expectNames(t, r, p, "spare", "spare", "spare")
		b.Restart()
		harness.Eventually(t, "a session comes to the target that is back", func() bool { return ask(t, r, p) == "b" })
		expectNames(t, r, p, "b", "b", "b")
	})
}

func TestMaxSessionsOfATarget(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		a, b := r.Listen(), r.Listen()
		p := r.StartApp(harness.App{Targets: []any{
			harness.TargetConfig{Address: a.Address, MaxSessions: 2},
			harness.TargetConfig{Address: b.Address, MaxSessions: 1},
		}})
		client, server := p.Session(a)
		_, _ = p.Session(b)
		_, _ = p.Session(a)
		refused(t, r, p, "limited")
		client.Close()
		server.Close()
		p.RecordOf(client)
		client, server = p.Session(a)
		client.Exchange(server, harness.Bytes(1, 100))
		refused(t, r, p, "limited")
		if a.Accepted() != 3 || b.Accepted() != 1 {
			t.Errorf("%d and %d sessions, want 3 and 1", a.Accepted(), b.Accepted())
		}
	})
}

// A full target hands over to the backup as a dead one does.
func TestFullTargetHandsOverToBackup(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		a, spare := r.Listen(), r.Identify("spare")
		p := r.StartApp(harness.App{Targets: []any{
			harness.TargetConfig{Address: a.Address, MaxSessions: 1},
			harness.TargetConfig{Address: spare.Address, Backup: true},
		}})
		client, server := p.Session(a)
		expectNames(t, r, p, "spare", "spare")
		client.Close()
		server.Close()
		p.RecordOf(client)
		_, _ = p.Session(a)
		if n := p.Log.Count(harness.Warning(a.Address)); n != 0 {
			t.Errorf("%d warnings about a target that was only full", n)
		}
	})
}
