package behaviour

import (
	"sync"
	"sync/atomic"
	"testing"

	"tcp-proxy/tests/harness"
)

// What a reload does not change goes on; what it changes holds for those who come after it.
func TestReload(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		one, two := r.Listen(), r.Listen()
		stays, goes, comes := r.Address(), r.Address(), r.Address()
		p := r.Start(harness.Config{Apps: []harness.App{
			{Name: "stays", Ports: []any{stays}, Targets: harness.To(one)},
			{Name: "goes", Ports: []any{goes}, Targets: harness.To(one)},
		}})
		kept, keptServer := r.Dial(stays), one.Accept()
		orphan, orphanServer := r.Dial(goes), one.Accept()

		p.Reload(harness.Config{Apps: []harness.App{
			{Name: "stays", Ports: []any{stays}, Targets: harness.To(two)},
			{Name: "comes", Ports: []any{comes}, Targets: harness.To(two)},
		}})
		if harness.Listening(t, goes) {
			t.Error("a port that is gone still listens")
		}
		for _, port := range []string{stays, comes} {
			client, server := r.Dial(port), two.Accept()
			client.Exchange(server, harness.Bytes(1, 1000))
			server.CloseWrite()
			end(p, client)
		}
		for _, open := range [][2]*harness.Conn{{kept, keptServer}, {orphan, orphanServer}} {
			open[0].Exchange(open[1], harness.Bytes(2, 1<<20))
			open[1].CloseWrite()
			end(p, open[0])
		}
	})
}

// A configuration with a mistake changes nothing, and every mistake is logged.
func TestReloadRefused(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		taken := r.Listen()
		target := r.Identify("target")
		p := r.StartApp(harness.App{Targets: harness.To(target)})
		for _, text := range []string{
			`{"apps": [{"ports": [0], "targets": ["nobody"]}]}`,
			`not a configuration`,
			`{"apps": [{"ports": ["` + taken.Address + `"], "targets": ["127.0.0.1:1"]}]}`,
			`{"max_workers": 1000000, "apps": [{"ports": ["` + r.Address() + `"], "targets": ["127.0.0.1:1"]}]}`,
		} {
			p.ReloadText(text, "reload refused")
			if name, err := r.Ask(p.Address()); err != nil || name != "target" {
				t.Errorf("after %s: %q, %v", text, name, err)
			}
		}
		mistakes := p.Log.Count(func(l harness.Line) bool { return l.Level == "error" && l.Fields["event"] == "reload_refused" })
		if mistakes != 5 {
			t.Errorf("%d mistakes are logged, want 5", mistakes)
		}
	})
}

// Reloads, one after the other, while clients connect all the time: none is refused, reset or misled.
func TestReloadUnderLoad(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		const reloads = 1000
		r := harness.New(t, engine)
		one, two := r.Identify("one"), r.Identify("two")
		port, other := r.Address(), []string{r.Address(), r.Address()}
		config := func(i int) harness.Config {
			return harness.Config{MaxWorkers: 200 + i%2, Apps: []harness.App{
				{Name: "load", Ports: []any{port}, Targets: harness.To([]*harness.Target{one, two}[i/2%2])},
				{Name: "other", Ports: []any{other[i%2]}, Targets: harness.To(one)},
			}}
		}
		p := r.Start(config(0))
		var done atomic.Bool
		var clients sync.WaitGroup
		var sessions atomic.Int64
		for range 4 {
			clients.Go(func() {
				for !done.Load() {
					name, err := r.Ask(port)
					if err != nil || name != "one" && name != "two" {
						t.Errorf("%q, %v", name, err)
						return
					}
					sessions.Add(1)
				}
			})
		}
		for i := range reloads {
			p.Reload(config(i + 1))
		}
		done.Store(true)
		clients.Wait()
		if n := sessions.Load(); n < reloads/10 {
			t.Errorf("only %d sessions in %d reloads", n, reloads)
		}
	})
}
