package admin

import (
	"strings"
	"testing"

	"tcp-proxy/tests/harness"
)

// A target that nobody has connected to is not called alive: not in the API, the metrics and the command. A reload keeps what is
// known, and a new process knows nothing. It takes sessions all the same.
func TestUntestedTargets(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		first, second, probed := r.Identify("first"), r.Identify("second"), r.Identify("probed")
		s := see(r, harness.Config{Apps: []harness.App{
			{Name: "web", Balance: "first", Targets: harness.To(first, second)},
			{Name: "db", Targets: harness.To(probed), Probe: &harness.Probe{When: "never"}},
		}})
		is := func(when string, p *seen, want map[*harness.Target]string) {
			t.Helper()
			shown := harness.Run(t, "status", "--socket", p.socket).Stdout
			got := p.status()
			harness.Eventually(t, when+", the metrics agree with the status", func() bool { // a response may be reused for a while
				m := p.scrape()
				for _, a := range got.Apps {
					for _, x := range a.Targets {
						if (m.of("target_untested", "app", a.Name, "target", x.Name) == 1) != x.Untested || m.of("target_up", "app", a.Name, "target", x.Name) != 1 {
							return false
						}
					}
				}
				return true
			})
			for _, a := range got.Apps {
				for _, x := range a.Targets {
					for target, state := range want {
						if target.Address != x.Address {
							continue
						}
						untested := state == "untested"
						if x.Untested != untested || x.State != "alive" {
							t.Errorf("%s, %s is %s, untested %v; want %s", when, x.Name, x.State, x.Untested, state)
						}
						if !strings.Contains(shown, x.Name+"  "+state+" ") {
							t.Errorf("%s, %s is not shown as %s:\n%s", when, x.Name, state, shown)
						}
					}
				}
			}
		}
		is("at first", s, map[*harness.Target]string{first: "untested", second: "untested", probed: "untested"})
		if name, err := r.Ask(s.AddressOf(0)); err != nil || name != "first" {
			t.Errorf("%q, %v", name, err)
		}
		is("after a session", s, map[*harness.Target]string{first: "alive", second: "untested", probed: "untested"})
		config := s.config
		config.Apps = append(config.Apps[:0:0], config.Apps...)
		config.Apps[0].Balance = "round_robin"
		config.Apps[1].Probe = &harness.Probe{When: "always", Interval: "50ms"}
		s.Reload(config)
		harness.Eventually(t, "a probe passes", func() bool { return !s.app("db").Targets[0].Untested })
		is("after a reload", s, map[*harness.Target]string{first: "alive", second: "untested", probed: "alive"})
		again := see(harness.New(t, engine), harness.Config{Apps: []harness.App{{Name: "web", Targets: harness.To(first)}}})
		is("in another process", again, map[*harness.Target]string{first: "untested"})
	})
}
