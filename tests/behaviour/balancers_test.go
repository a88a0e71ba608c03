package behaviour

import (
	"fmt"
	"slices"
	"testing"

	"tcp-proxy/tests/harness"
)

// hold opens a session from a host ("" is any) that stays, and returns it with the index of the target that has it.
func hold(r *harness.Rig, port, host string, targets []*harness.Target) (*harness.Conn, int) {
	r.T.Helper()
	before := accepted(targets)
	var c *harness.Conn
	if host == "" {
		c = r.Dial(port)
	} else {
		c = r.DialFrom(host, port)
	}
	c.Exchange(c, []byte("here"))
	for i, n := range accepted(targets) {
		if n > before[i] {
			return c, i
		}
	}
	r.T.Fatal("the session came to no target")
	return nil, 0
}

func accepted(targets []*harness.Target) []int {
	counts := make([]int, len(targets))
	for i, target := range targets {
		counts[i] = target.Accepted()
	}
	return counts
}

// quiet is for targets that are not to be connected to by anybody but sessions.
var quiet = &harness.Probe{When: "never"}

func TestLeastSessions(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		targets := []*harness.Target{r.Echo(), r.Echo()}
		p := r.StartApp(harness.App{Balance: "least_sessions", Probe: quiet, Targets: []any{
			harness.TargetConfig{Address: targets[0].Address, Weight: 2}, targets[1].Address}})
		var held []*harness.Conn
		for range 9 {
			c, at := hold(r, p.Address(), "", targets)
			if at == 1 {
				held = append(held, c)
			}
		}
		if got := accepted(targets); !slices.Equal(got, []int{6, 3}) {
			t.Fatalf("weights 2 and 1 have %v of 9 sessions", got)
		}
		for _, c := range held[:2] {
			end(p, c)
		}
		for range 2 {
			if _, at := hold(r, p.Address(), "", targets); at != 1 {
				t.Error("a session did not go where others had left")
			}
		}
	})
}

func TestFirst(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		targets := []*harness.Target{r.Echo(), r.Echo()}
		p := r.StartApp(harness.App{Balance: "first", Probe: quiet, Targets: []any{
			harness.TargetConfig{Address: targets[0].Address, MaxSessions: 2}, targets[1].Address}})
		first, _ := hold(r, p.Address(), "", targets)
		hold(r, p.Address(), "", targets)
		hold(r, p.Address(), "", targets)
		hold(r, p.Address(), "", targets)
		if got := accepted(targets); !slices.Equal(got, []int{2, 2}) {
			t.Fatalf("%v sessions, want the first full before the second", got)
		}
		end(p, first)
		if _, at := hold(r, p.Address(), "", targets); at != 0 {
			t.Error("the first has room again and is not taken")
		}
	})
}

// A client keeps its target, whatever the order of the list, on every node; when a target goes, its clients alone move,
// and they come back with it.
func TestSourceHash(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		const clients = 12
		r := harness.New(t, engine)
		targets := []*harness.Target{r.Echo(), r.Echo(), r.Echo()}
		app := harness.App{Balance: "source_hash", Targets: harness.To(targets...), Probe: &harness.Probe{Interval: "20ms", Rise: 1}}
		p := r.StartApp(app)
		app.Targets = harness.To(targets[2], targets[0], targets[1])
		node := r.StartApp(app)
		home, used := map[string]int{}, map[int]bool{}
		for range clients {
			host := r.AnotherHost()
			_, home[host] = hold(r, p.Address(), host, targets)
			used[home[host]] = true
			for _, port := range []string{p.Address(), node.Address()} {
				if _, at := hold(r, port, host, targets); at != home[host] {
					t.Errorf("client %s has two targets", host)
				}
			}
		}
		if len(used) < 2 {
			t.Fatalf("%d clients have one target", clients)
		}
		var gone int
		for gone = range used {
			break
		}
		targets[gone].Leave()
		for host, at := range home {
			if _, now := hold(r, p.Address(), host, targets); (at == gone) == (now == at) {
				t.Errorf("client %s of target %d went to %d when %d was gone", host, at, now, gone)
			}
		}
		targets[gone].Restart()
		harness.Eventually(t, "the target is back", func() bool {
			return p.Log.Count(func(l harness.Line) bool { return l.Message == "target is alive again" }) > 0
		})
		for host, at := range home {
			c := r.DialFrom(host, p.Address())
			c.Exchange(c, []byte("here"))
			end(p, c)
			if record := p.RecordOf(c); record.Target != targets[at].Address {
				t.Errorf("client %s did not come back to target %d", host, at)
			}
		}
	})
}

func TestRandom(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		names := []any{r.Identify("a").Address, r.Identify("b").Address, r.Identify("c").Address}
		p := r.StartApp(harness.App{Balance: "random", Probe: quiet, Targets: names})
		var order []string
		counts := map[string]int{}
		for range 90 {
			name, err := r.Ask(p.Address())
			if err != nil {
				t.Fatal(err)
			}
			counts[name]++
			order = append(order, name)
		}
		for _, name := range []string{"a", "b", "c"} {
			if n := counts[name]; n < 10 || n > 60 {
				t.Errorf("%s has %d of 90 sessions", name, n)
			}
		}
		// By turns, the sessions of each third of the list would be the same.
		if fmt.Sprint(order[:30]) == fmt.Sprint(order[30:60]) && fmt.Sprint(order[:30]) == fmt.Sprint(order[60:]) {
			t.Errorf("the sessions went round: %v", order)
		}
	})
}

// Targets that connect as fast share the sessions, and one that fails has none.
func TestNearest(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		a, b := r.Identify("a"), r.Identify("b")
		p := r.StartApp(harness.App{Balance: "nearest", Probe: quiet, RetryDeadAfter: "1h", Targets: []any{a.Address, r.Refuse(), b.Address}})
		counts := map[string]int{}
		for range 60 {
			name, err := r.Ask(p.Address())
			if err != nil {
				t.Fatal(err)
			}
			counts[name]++
		}
		if counts["a"] == 0 || counts["b"] == 0 {
			t.Errorf("sessions: %v", counts)
		}
	})
}
