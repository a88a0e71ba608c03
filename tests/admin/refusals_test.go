package admin

import (
	"maps"
	"testing"

	"tcp-proxy/tests/harness"
)

// Clients that an app refuses at the door are counted by what it has against them, and a reload does not forget them.
func TestRefusalsAreCounted(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		target := r.Identify("it")
		banned, host := r.AnotherHost(), r.AnotherHost()
		app := harness.App{Name: "web", Ports: []any{r.Address()}, Targets: harness.To(target), Deny: []string{banned}, MaxSessions: 2}
		s := see(r, harness.Config{Apps: []harness.App{app}})
		use := func(change func(*harness.App)) {
			t.Helper()
			app.MaxSessions, app.MaxSessionsPerSource, app.SessionsPerSecond, app.SessionsPerSecondPerSource = 0, 0, 0, 0
			change(&app)
			config := s.config
			config.Apps = []harness.App{app}
			s.Reload(config)
		}
		come := func() {
			t.Helper()
			if name, err := r.DialFrom(host, s.Address()).Name(); err != nil || name != "it" {
				t.Fatalf("%q, %v", name, err)
			}
		}
		refuse := func(host string, n int) {
			t.Helper()
			for range n {
				s.RecordOfAddress(r.ExpectRefusalFrom(host, s.Address()))
			}
		}
		refuse(banned, 1)
		come()
		come()
		refuse(host, 2)
		use(func(app *harness.App) { app.MaxSessionsPerSource = 1 })
		come()
		refuse(host, 3)
		use(func(app *harness.App) { app.Deny = append(app.Deny, host) })
		refuse(host, 4)

		want := map[string]uint64{"denied": 5, "max_sessions": 2, "max_sessions_per_source": 3}
		got := s.status().Apps[0]
		maps.DeleteFunc(got.Refused, func(_ string, n uint64) bool { return n == 0 })
		if !maps.Equal(got.Refused, want) {
			t.Errorf("refused: %v, want %v", got.Refused, want)
		}
		if got.Ended["denied"] != 5 || got.Ended["limited"] != 5 || got.Active != 3 {
			t.Errorf("ended: %v, %d active; want 5 denied, 5 limited and 3", got.Ended, got.Active)
		}
		m := s.scrape()
		for reason, n := range want {
			if got := m.of("sessions_refused_total", "app", "web", "reason", reason); got != float64(n) {
				t.Errorf("%v refused as %s in the metrics, want %d", got, reason, n)
			}
		}
	})
}
