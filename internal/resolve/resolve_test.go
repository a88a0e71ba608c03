package resolve

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tcp-proxy/internal/upstream"
)

const sec = time.Second

func TestAnswersAreRefreshed(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		s, changes := newSet("web:80"), 0
		r.addresses("web", 5*sec, "10.0.0.1 10.0.0.2")
		r.Subscribe(s, func() { changes++ })
		r.expectEndpoints(s, "10.0.0.1:80", "10.0.0.2:80")
		time.Sleep(5 * sec)
		r.addresses("web", 5*sec, "10.0.0.2 10.0.0.1") // another order is no change
		time.Sleep(5 * sec)
		r.expectAsked("web", 0, 5*sec, 10*sec)
		if changes != 1 {
			t.Errorf("%d changes, want 1", changes)
		}
		r.addresses("web", 20*sec, "10.0.0.2 fd00::3")
		time.Sleep(5 * sec)
		r.expectEndpoints(s, "10.0.0.2:80", "[fd00::3]:80")
		if changes != 2 {
			t.Errorf("%d changes, want 2", changes)
		}
		time.Sleep(25 * sec)
		r.expectAsked("web", 15*sec, 35*sec)
		r.expectReports()
	})
}

func TestTimeToLive(t *testing.T) {
	for ttl, want := range map[time.Duration]time.Duration{
		0: sec, sec / 2: sec, sec: sec, 90 * sec: 90 * sec, time.Hour: time.Hour, 24 * time.Hour: time.Hour,
	} {
		run(t, func(t *testing.T, r *rig) {
			r.addresses("web", ttl, "10.0.0.1")
			r.Subscribe(newSet("web:80"), nil)
			time.Sleep(want)
			r.expectAsked("web", 0, want)
		})
	}
}

func TestAFailingNameKeepsItsAnswer(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		s := newSet("web:80")
		r.addresses("web", 10*sec, "10.0.0.1")
		r.Subscribe(s, nil)
		time.Sleep(5 * sec)
		r.addresses("web", 0, "")
		time.Sleep(25 * sec)
		r.expectAsked("web", 0, 10*sec, 11*sec, 13*sec, 17*sec, 22*sec, 27*sec)
		r.expectReports("10s web:80 (10s): no answer")
		r.expectEndpoints(s, "10.0.0.1:80")
		a := r.Snapshot()
		if len(a) != 1 || a[0].Err == nil || a[0].Since != r.begin.Add(10*sec) || a[0].Refreshed != r.begin || a[0].Expires != r.begin.Add(10*sec) ||
			len(a[0].Endpoints) != 1 {
			t.Errorf("%+v", a)
		}
		r.addresses("web", 10*sec, "10.0.0.2")
		time.Sleep(15 * sec)
		r.expectReports("32s web:80 (10s): works")
		r.expectEndpoints(s, "10.0.0.2:80")
		r.expectAsked("web", 32*sec, 42*sec)
		if a := r.Snapshot()[0]; a.Err != nil || !a.Since.IsZero() || a.Refreshed != r.begin.Add(42*sec) {
			t.Errorf("%+v", a)
		}
		r.addresses("web", 0, "")
		time.Sleep(15 * sec) // it begins anew
		r.expectReports("52s web:80 (52s): no answer")
		r.expectAsked("web", 52*sec, 53*sec, 55*sec, 59*sec)
	})
}

func TestNameWithoutAnAnswer(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		s := newSet("web:80")
		r.Subscribe(s, func() { t.Error("something new") })
		time.Sleep(10 * sec)
		r.expectReports("0s web:80 (0s): no address: no such host")
		r.expectEndpoints(s)
		var tried upstream.Attempts
		if _, _, err := s.Pick(&tried, netip.Addr{}); !errors.Is(err, upstream.ErrNone) {
			t.Error(err)
		}
		if a := r.Snapshot()[0]; !a.Refreshed.IsZero() || a.Err == nil || a.Partial {
			t.Errorf("%+v", a)
		}
	})
	run(t, func(t *testing.T, r *rig) { // the first answer comes later
		r.Subscribe(newSet("web:80"), nil)
		r.expectReports("0s web:80 (0s): no address: no such host")
		r.addresses("web", sec, "10.0.0.1")
		time.Sleep(sec)
		r.expectReports("1s web:80 (0s): works for the first time")
		r.addresses("web", sec, "")
		time.Sleep(sec)
		r.expectReports("2s web:80 (2s): no answer")
		r.addresses("web", sec, "10.0.0.1")
		time.Sleep(sec)
		r.expectReports("3s web:80 (2s): works")
	})
}

// If the lookup of one family fails, its last addresses are kept.
func TestOneFamilyFails(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		s := newSet("web:80")
		r.addresses("web", 10*sec, "10.0.0.1 fd00::1")
		r.Subscribe(s, nil)
		synctest.Wait()
		r.answer("web", func(context.Context) (answer, error) {
			return answer{addresses: []netip.Addr{netip.MustParseAddr("10.0.0.2")}, ttl: 10 * sec, missing: ipv6}, errors.New("half")
		})
		time.Sleep(10 * sec)
		r.expectReports("10s web:80 (10s): partial: half")
		r.expectEndpoints(s, "10.0.0.2:80", "[fd00::1]:80")
		time.Sleep(sec)
		r.expectEndpoints(s, "10.0.0.2:80", "[fd00::1]:80")
		r.addresses("web", 10*sec, "10.0.0.2")
		time.Sleep(2 * sec)
		r.expectReports("13s web:80 (10s): works")
		r.expectEndpoints(s, "10.0.0.2:80")
	})
}

// A question is asked once, however many names, ports and sets depend on it, and not at all if none does.
func TestOneQuestionForAll(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.addresses("web", 10*sec, "10.0.0.1")
		a, b := newSet("web:80", "web:81"), newSet("WEB:80", "web:80")
		r.Subscribe(a, nil)
		r.Subscribe(b, nil)
		r.expectEndpoints(a, "10.0.0.1:80", "10.0.0.1:81")
		r.expectEndpoints(b, "10.0.0.1:80")
		time.Sleep(10 * sec)
		r.expectAsked("web", 0, 10*sec)
		r.Unsubscribe(a)
		c := newSet("web:82") // knows at once, of what is known
		r.Subscribe(c, func() { t.Error("something new") })
		if len(c.All()) != 1 {
			t.Error("a known name was not delivered")
		}
		time.Sleep(10 * sec)
		r.expectAsked("web", 20*sec)
		r.addresses("web", 10*sec, "10.0.0.2")
		r.Unsubscribe(c)
		time.Sleep(10 * sec)
		r.expectEndpoints(a, "10.0.0.1:80", "10.0.0.1:81")
		r.expectEndpoints(b, "10.0.0.2:80")
		r.expectAsked("web", 30*sec)
		r.Unsubscribe(b)
		r.Unsubscribe(b)
		time.Sleep(time.Hour)
		r.expectAsked("web")
		if len(r.names)+len(r.entries) != 0 || len(r.Snapshot()) != 0 {
			t.Errorf("%d names and %d questions are left", len(r.names), len(r.entries))
		}
	})
}

// The result of a lookup on which no name depends any more is discarded.
func TestUnsubscribeDuringALookup(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.answer("web", func(context.Context) (answer, error) {
			time.Sleep(5 * sec)
			return answer{addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}, nil
		})
		s := newSet("web:80")
		r.Subscribe(s, nil)
		time.Sleep(sec)
		r.Unsubscribe(s)
		r.Subscribe(s, nil) // asked anew
		time.Sleep(4 * sec)
		r.expectEndpoints(s)
		time.Sleep(sec)
		r.expectEndpoints(s, "10.0.0.1:80")
		r.expectReports()
	})
}

// A lookup on which no name depends any more is cancelled.
func TestUnsubscribeCancelsTheLookup(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		ended := time.Duration(0)
		r.answer("web", func(ctx context.Context) (answer, error) {
			<-ctx.Done()
			ended = r.now()
			return answer{}, ctx.Err()
		})
		s := newSet("web:80")
		r.Subscribe(s, nil)
		time.Sleep(sec / 2)
		r.Unsubscribe(s)
		synctest.Wait()
		if ended != sec/2 || r.schedule.initial.busy != 0 {
			t.Errorf("ended after %v, %d slots are in use", ended, r.schedule.initial.busy)
		}
		r.expectReports()
	})
}

// A host of SRV records that is also a target by itself counts against the share of that target, not of the SRV name.
func TestOwnerOfAnEntry(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.services("service", time.Hour, "one. 80 0 0")
		r.addresses("one.", time.Hour, "10.0.0.1")
		service, plain := newSet("srv:service"), newSet("one.:80")
		expect := func(want string) {
			t.Helper()
			synctest.Wait()
			if got := r.entries[question{name: "one."}].owner.address.String(); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
		r.Subscribe(service, nil)
		expect("srv:service")
		r.Subscribe(plain, nil)
		expect("one.:80")
		r.services("service", time.Hour, "one. 80 0 0", "two. 80 0 0")
		time.Sleep(time.Hour)
		expect("one.:80")
		r.Unsubscribe(plain)
		expect("srv:service")
		r.Subscribe(plain, nil)
		r.Unsubscribe(service)
		expect("one.:80")
	})
}

func TestAwait(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		slow := func(after time.Duration, ip string) func(context.Context) (answer, error) {
			return func(context.Context) (answer, error) {
				time.Sleep(after)
				return answer{addresses: []netip.Addr{netip.MustParseAddr(ip)}, ttl: time.Hour}, nil
			}
		}
		r.answer("slow", slow(3*sec, "10.0.0.1"))
		r.answer("host", slow(4*sec, "10.0.0.2"))
		r.answer("other", slow(time.Hour, "10.0.0.3"))
		r.services("service", time.Hour, "host 80 0 0")
		s, other := newSet("slow:80", "nobody:80", "srv:service"), newSet("other:80")
		r.Subscribe(s, nil)
		r.Subscribe(other, nil)
		r.Await(t.Context(), s)
		if r.now() != 4*sec {
			t.Errorf("waited %v, want 4s", r.now())
		}
		r.expectEndpoints(s, "10.0.0.1:80", "10.0.0.2:80")
		r.Await(t.Context(), s)
		r.Await(t.Context(), newSet("unheard-of:80"))
		ctx, cancel := context.WithTimeout(t.Context(), sec)
		defer cancel()
		r.Await(ctx, other)
		if r.now() != 5*sec {
			t.Errorf("waited until %v, want 5s", r.now())
		}
	})
}

func TestClose(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.answer("hangs", func(ctx context.Context) (answer, error) {
			<-ctx.Done()
			return answer{}, ctx.Err()
		})
		r.addresses("web", 10*sec, "10.0.0.1")
		s, hangs := newSet("web:80"), newSet("hangs:80")
		r.Subscribe(s, nil)
		r.Subscribe(hangs, nil)
		awaited := make(chan struct{})
		go func() {
			defer close(awaited)
			r.Await(t.Context(), hangs)
		}()
		synctest.Wait()
		r.Close()
		<-awaited
		r.Subscribe(newSet("web:80"), nil) // nothing
		r.Unsubscribe(s)
		time.Sleep(time.Hour)
		r.expectAsked("web", 0)
		r.expectEndpoints(s, "10.0.0.1:80")
		r.expectReports()
	})
}

// A name with more addresses than can be used fails, and the report says so.
func TestTooManyAddresses(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		var all []string
		for i := range 1234 {
			all = append(all, fmt.Sprintf("10.0.%d.%d", i/250, 1+i%250))
		}
		r.addresses("web", time.Hour, strings.Join(all, " "))
		s := newSet("web:80")
		r.Subscribe(s, nil)
		r.expectReports("0s web:80 (0s): partial: it has 1234 addresses, of which 1000 are used")
		if n := len(s.All()); n != 1000 {
			t.Errorf("%d endpoints", n)
		}
	})
}
