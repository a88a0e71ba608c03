package resolve

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"tcp-proxy/internal/testkit"
)

// With a real server: 1,400 hosts and 80 names that it does not answer do not keep a name from being refreshed, and no
// socket or goroutine is left in the end.
func TestUnansweredZonesOfARealServer(t *testing.T) {
	var good, unanswered atomic.Int64
	var hosts []dnsmessage.Resource
	for i := range 1400 {
		hosts = append(hosts, rr("_web._tcp.bad.", 1, srv(fmt.Sprintf("host-%d.bad.", i), 80, 0, 0)))
	}
	s := serve(t, func(q dnsmessage.Question, tcp bool) response {
		switch q.Name.String() {
		case "_web._tcp.bad.":
			if tcp {
				return response{records: hosts}
			}
			return response{truncated: true}
		case "web.good.":
			if q.Type == dnsmessage.TypeA {
				good.Add(1)
				return response{records: []dnsmessage.Resource{rr("web.good.", 1, a(1))}}
			}
			return response{}
		}
		unanswered.Add(1)
		return response{none: true}
	})
	r := New(func(Answer) {})
	defer r.Close()
	r.lookUp = clientOf(s).lookUp
	names := []string{"srv:_web._tcp.bad.", "web.good.:80"}
	for i := range 80 {
		names = append(names, fmt.Sprintf("web.bad-%d.:80", i))
	}
	set := newSet(names...)
	r.Subscribe(set, nil)
	testkit.Eventually(t, "the good name is asked for five times next to unanswered ones", func() bool { return good.Load() >= 5 && unanswered.Load() > 100 })
	testkit.Eventually(t, "the SRV name says what is wrong with it", func() bool {
		return slices.ContainsFunc(r.Snapshot(), func(a Answer) bool {
			return a.Err != nil && strings.Contains(a.Err.Error(), "its records name 1400 hosts, of which 500 are looked up")
		})
	})
	for _, a := range r.Snapshot() {
		if a.Name.Host == "web.good." && (len(a.Endpoints) != 1 || a.Err != nil) {
			t.Errorf("%+v", a)
		}
	}
	r.mu.Lock()
	if n := r.schedule.refresh.busy + r.schedule.initial.busy + r.schedule.slow.busy; 2*n > MaxSockets {
		t.Errorf("%d lookups at a time", n)
	}
	r.mu.Unlock()
}
