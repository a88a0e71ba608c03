package behaviour

import (
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"tcp-proxy/tests/harness"
)

func TestFailOverThroughTheList(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		live := r.Identify("live")
		dead := []string{r.Refuse(), r.Refuse(), "unix:" + r.Path("nobody.sock")}
		p := r.StartApp(harness.App{
			Targets:        []any{dead[0], dead[1], dead[2], live.Address},
			RetryDeadAfter: "1h",
		})
		const sessions = 12
		for i := range sessions {
			expectNames(t, r, p, "live")
			record, want := p.Records(i + 1)[i], 1
			if i == 0 {
				want = 4 // every one in its turn
			}
			if record.Attempts != want || record.Target != live.Address || record.Cause != "client_closed" {
				t.Errorf("session %d: %+v; want %d attempts and target %s", i, record, want, live.Address)
			}
		}
		for _, address := range dead {
			warnings(t, p, address, 1)
		}
	})
}

// Many sessions find a target dead at the same time: all of them go on to the next, and it is said once.
func TestFailOverOfACrowd(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		live := r.Identify("live")
		dead := r.Refuse()
		p := r.StartApp(harness.App{Targets: []any{dead, live.Address}, RetryDeadAfter: "1h"})
		var g errgroup.Group
		for range 40 {
			g.Go(func() error {
				_, err := r.Ask(p.Address())
				return err
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		if n := live.Accepted(); n != 40 {
			t.Errorf("%d of 40 sessions came to the live target", n)
		}
		p.Records(40)
		warnings(t, p, dead, 1)
	})
}

// A target that dies under way is found dead by the next session that it was to take, and no session is lost.
func TestTargetDiesAndComesBack(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		a, b := r.Identify("a"), r.Identify("b")
		p := r.StartApp(harness.App{Targets: harness.To(a, b), RetryDeadAfter: "100ms"})
		expectNames(t, r, p, "a", "b", "a", "b")
		a.Stop()
		// Every second one of these runs into a trial of the dead target, and goes on to the live one.
		for until := time.Now().Add(700 * time.Millisecond); time.Now().Before(until); {
			expectNames(t, r, p, "b")
		}
		warnings(t, p, a.Address, 1)
		a.Restart()
		harness.Eventually(t, "a session comes to the target that is back", func() bool { return ask(t, r, p) == "a" })
		// It is back in the rotation, not on trial.
		seen := map[string]int{}
		for range 10 {
			seen[ask(t, r, p)]++
		}
		if seen["a"] != 5 || seen["b"] != 5 {
			t.Errorf("10 sessions went to %v", seen)
		}
		a.Stop()
		expectNames(t, r, p, "b", "b")
		warnings(t, p, a.Address, 2)
	})
}

// Until its trial is due a dead target is left alone while another lives.
func TestDeadTargetIsPassedOver(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		a, b := r.Identify("a"), r.Identify("b")
		p := r.StartApp(harness.App{Targets: harness.To(a, b), RetryDeadAfter: "1h"})
		a.Stop()
		expectNames(t, r, p, "b", "b", "b")
		a.Restart()
		expectNames(t, r, p, "b", "b", "b", "b", "b", "b")
	})
}

// When no target lives the dead ones are tried, however far off their trial is.
func TestDeadTargetsAreTheLastResort(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		a, b := r.Identify("a"), r.Identify("b")
		p := r.StartApp(harness.App{Targets: harness.To(a, b), RetryDeadAfter: "1h"})
		a.Stop()
		b.Stop()
		refused(t, r, p, "connect_failed")
		b.Restart()
		expectNames(t, r, p, "b", "b", "b")
		a.Restart()
		b.Stop()
		expectNames(t, r, p, "a", "a", "a")
		for _, target := range []*harness.Target{a, b} {
			want := 1
			if target == b {
				want = 2
			}
			warnings(t, p, target.Address, want)
		}
	})
}

// The trial of a target that hangs costs one session its time, not all of them.
func TestOneTrialAtATime(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		live := r.Identify("live")
		p := r.StartApp(harness.App{
			Targets:        []any{r.Blackhole(), live.Address},
			ConnectTimeout: "2s",
			RetryDeadAfter: "100ms",
		})
		expectNames(t, r, p, "live")
		p.Records(1)
		time.Sleep(200 * time.Millisecond) // the trial is due
		var g errgroup.Group
		const sessions = 20
		for range sessions {
			g.Go(func() error {
				_, err := r.Ask(p.Address())
				return err
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		late := 0
		for _, record := range p.Records(1 + sessions)[1:] {
			if record.Attempts > 1 {
				late++
			}
		}
		if late > 1 {
			t.Errorf("%d of %d sessions at the same time tried a dead target, want at most 1", late, sessions)
		}
	})
}

func TestConnectTimeout(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		live, hole := r.Identify("live"), r.Blackhole()
		p := r.StartApp(harness.App{
			Targets:        []any{hole, live.Address},
			ConnectTimeout: "400ms",
			RetryDeadAfter: "1h",
		})
		expectNames(t, r, p, "live")
		if first := p.Records(1)[0]; first.Attempts != 2 || first.DurationUsec < 400_000 {
			t.Errorf("%d attempts in %d µs, want 2 in 400000 or more", first.Attempts, first.DurationUsec)
		}
		expectNames(t, r, p, "live")
		if second := p.Records(2)[1]; second.Attempts != 1 {
			t.Errorf("%d attempts after the target was found dead, want 1", second.Attempts)
		}
		warnings(t, p, hole, 1)
	})
}

func TestConnectAttempts(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		live := r.Identify("live")
		p := r.StartApp(harness.App{
			Targets:         []any{r.Refuse(), r.Refuse(), r.Refuse(), live.Address},
			ConnectAttempts: 2,
			RetryDeadAfter:  "1h",
		})
		if record := refused(t, r, p, "connect_failed"); record.Attempts != 2 {
			t.Errorf("attempts = %d, want 2", record.Attempts)
		}
		// Two targets are known to be dead now, and passed over.
		expectNames(t, r, p, "live", "live")
	})
}

// A client that goes away while its target is being connected ends the session, whatever the time-outs.
func TestClientLeavesWhileConnecting(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		p := r.StartApp(harness.App{Targets: []any{r.Blackhole()}, ConnectTimeout: "1s"})
		client := p.Dial()
		client.Abort()
		p.Records(1)
	})
}

// warnings waits until the log has that many warnings about a target, and finds no more.
func warnings(t *testing.T, p *harness.Proxy, target string, want int) {
	t.Helper()
	harness.Eventually(t, "the target's warnings are logged", func() bool { return p.Log.Count(harness.Warning(target)) >= want })
	if n := p.Log.Count(harness.Warning(target)); n != want {
		t.Errorf("%d warnings about target %s, want %d", n, target, want)
	}
}
