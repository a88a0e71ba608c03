package resolve

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"tcp-proxy/internal/config"
	"tcp-proxy/internal/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A rig is a resolver whose lookups the test answers, with the fake clock of testing/synctest.
type rig struct {
	*Resolver
	t     *testing.T
	begin time.Time

	mu      sync.Mutex
	answers map[string]func(context.Context) (answer, error) // by name
	asked   map[string][]time.Duration                       // by name: when it was looked up, since begin
	reports []string
}

// run runs a test with a rig.
func run(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{
			t: t, begin: time.Now(),
			answers: map[string]func(context.Context) (answer, error){}, asked: map[string][]time.Duration{},
		}
		r.Resolver = New(r.addReport)
		r.lookUp = r.fakeLookUp
		defer r.Close()
		test(t, r)
	})
}

func (r *rig) addReport(a Answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	what := "works"
	switch {
	case a.Err != nil && a.Partial:
		what = "partial: " + a.Err.Error()
	case a.Err != nil && len(a.Endpoints) == 0:
		what = "no address: " + a.Err.Error()
	case a.Err != nil:
		what = a.Err.Error()
	case a.First:
		what = "works for the first time"
	}
	r.reports = append(r.reports, fmt.Sprintf("%v %v (%v): %s", r.now(), a.Name, a.Since.Sub(r.begin), what))
}

func (r *rig) now() time.Duration { return time.Since(r.begin) }

func (r *rig) fakeLookUp(ctx context.Context, q question) (answer, error) {
	r.mu.Lock()
	r.asked[q.name] = append(r.asked[q.name], r.now())
	f := r.answers[q.name]
	r.mu.Unlock()
	if f == nil {
		return answer{}, errors.New("no such host")
	}
	return f(ctx)
}

// answer sets the function that answers lookups of a name from now on.
func (r *rig) answer(name string, f func(context.Context) (answer, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers[name] = f
}

// addresses sets the addresses of a name; "" makes its lookup fail.
func (r *rig) addresses(name string, ttl time.Duration, addresses string) {
	r.answer(name, func(context.Context) (answer, error) {
		if addresses == "" {
			return answer{}, errors.New("no answer")
		}
		a := answer{ttl: ttl}
		for _, ip := range strings.Fields(addresses) {
			a.addresses = append(a.addresses, netip.MustParseAddr(ip))
		}
		a.addresses = sortUnique(a.addresses)
		return a, nil
	})
}

// services sets the SRV records of a name, each as "host port priority weight".
func (r *rig) services(name string, ttl time.Duration, records ...string) {
	a := answer{ttl: ttl}
	for _, text := range records {
		var s service
		if _, err := fmt.Sscan(text, &s.host, &s.port, &s.priority, &s.weight); err != nil {
			r.t.Error(err)
		}
		a.services = append(a.services, s)
	}
	slices.SortFunc(a.services, compareServices)
	r.answer(name, func(context.Context) (answer, error) { return a, nil })
}

// expectReports checks the reports since the last check.
func (r *rig) expectReports(want ...string) {
	r.t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.reports, want) {
		r.t.Errorf("%v: reported:\n%s\nwant:\n%s", r.now(), strings.Join(r.reports, "\n"), strings.Join(want, "\n"))
	}
	r.reports = nil
}

// expectAsked checks when a name was looked up since the last check.
func (r *rig) expectAsked(name string, want ...time.Duration) {
	r.t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if got := r.asked[name]; !slices.Equal(got, want) {
		r.t.Errorf("%v: asked for %s at %v, want %v", r.now(), name, got, want)
	}
	delete(r.asked, name)
}

// newSet returns a set of targets by name: "host:port" or "srv:NAME".
func newSet(names ...string) *upstream.Set {
	var targets []config.Target
	for _, name := range names {
		targets = append(targets, config.Target{Address: parse(name), Weight: 1})
	}
	return upstream.NewSet(targets, upstream.Policy{Retry: time.Hour}, nil)
}

func parse(name string) config.Address {
	if host, ok := strings.CutPrefix(name, "srv:"); ok {
		return config.Address{Network: "srv", Host: host}
	}
	var port uint16
	host, digits, _ := strings.Cut(name, ":")
	fmt.Sscan(digits, &port)
	return config.Address{Network: "tcp", Host: host, Port: port}
}

// expectEndpoints checks the endpoints of a set, each as "address" or "address*weight".
func (r *rig) expectEndpoints(s *upstream.Set, want ...string) {
	r.t.Helper()
	synctest.Wait()
	var got []string
	for _, t := range s.All() {
		text := t.Addr.String()
		if t.Weight > 1 {
			text += fmt.Sprint("*", t.Weight)
		}
		got = append(got, text)
	}
	if !slices.Equal(got, want) {
		r.t.Errorf("%v: endpoints %v, want %v", r.now(), got, want)
	}
}
