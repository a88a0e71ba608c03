package admin

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"tcp-proxy/tests/harness"
)

// However many hosts of an SRV name cannot be looked up, what is told of it is short: in the log, in the status and in
// every event. Those hosts that can be looked up are targets.
func TestManyHostsThatFailAreToldBriefly(t *testing.T) {
	const hosts = 600
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		here := r.Identify("here")
		_, port, _ := strings.Cut(here.Address, ":")
		var options []string
		for i := range hosts {
			options = append(options, fmt.Sprintf("--srv-host=_web._tcp.internal,host-%03d.internal,%s", i, port))
		}
		names := r.Nameserver(options...)
		names.Set(r.Host + " host-007.internal")
		s := see(r, harness.Config{Apps: []harness.App{{Name: "web", Ports: []any{r.Address()}, Targets: []any{"srv:_web._tcp.internal"}}}})
		harness.Eventually(t, "the status tells what is wrong", func() bool {
			found := s.status().Names
			return len(found) == 1 && strings.Contains(found[0].Problem, "its records name 600 hosts, of which 500 are looked up") &&
				strings.Contains(found[0].Problem, "(and 498 more of its hosts)")
		})
		if name, err := r.Ask(s.Address()); err != nil || name != "here" {
			t.Errorf("%q, %v", name, err)
		}
		const bound = 1000
		if problem := s.status().Names[0].Problem; len(problem) > bound {
			t.Errorf("the problem has %d bytes", len(problem))
		}
		events := 0
		for _, e := range s.status().Events {
			if e.Kind == "name_failing" {
				events++
				if len(e.Reason) == 0 || len(e.Reason) > bound || strings.Contains(e.Reason, "\n") {
					t.Errorf("the reason of an event has %d bytes: %q", len(e.Reason), e.Reason)
				}
			}
		}
		lookupFailed := func(l harness.Line) bool {
			if !strings.Contains(l.Message, "name lookup is incomplete; using the addresses that are known") {
				return false
			}
			if len(l.Raw) > 2*bound {
				t.Errorf("a line of %d bytes", len(l.Raw))
			}
			return true
		}
		harness.Eventually(t, "the failure is logged", func() bool { return s.Log.Count(lookupFailed) > 0 })
		if logged := s.Log.Count(lookupFailed); events != 1 || logged != 1 {
			t.Errorf("%d events and %d lines, want 1 of each", events, logged)
		}
		if n := len(s.ask(http.MethodGet, "/api/v1/status").body); n > 20*bound {
			t.Errorf("the status has %d bytes", n)
		}
	})
}
