package resolve

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tcp-proxy/internal/upstream"
)

// timesOut makes the lookups of a name time out.
func (r *rig) timesOut(name string) {
	r.answer(name, func(ctx context.Context) (answer, error) {
		<-ctx.Done()
		return answer{}, &timeoutError{quickTimeout}
	})
}

// expectOnTime checks that a name was looked up every second since the last check.
func (r *rig) expectOnTime(name string, from, to time.Duration) {
	r.t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	next := from
	for _, at := range r.asked[name] {
		if at < from || at > to {
			continue
		}
		if at != next {
			r.t.Fatalf("%s is asked for at %v, want %v", name, at, next)
		}
		next += sec
	}
	if next <= to {
		r.t.Fatalf("%s is asked for until %v, want %v", name, next, to)
	}
}

// Names whose lookups time out do not keep other names from being refreshed: 1,400 hosts of an SRV name, and 80 plain names
// of as many zones, of the same app or of another.
func TestUnansweredNamesDoNotDelayOthers(t *testing.T) {
	for _, apps := range []string{"one app", "two apps"} {
		t.Run(apps, func(t *testing.T) {
			run(t, func(t *testing.T, r *rig) {
				var hosts []string
				for i := range 1400 {
					host := fmt.Sprintf("host-%d.bad.", i)
					hosts = append(hosts, host+" 80 0 0")
					r.timesOut(host)
				}
				r.services("_web._tcp.bad", sec, hosts...)
				names := []string{"srv:_web._tcp.bad"}
				for i := range 80 {
					host := fmt.Sprintf("web.bad-%d", i)
					names = append(names, host+":80")
					r.timesOut(host)
				}
				r.addresses("web.good", sec, "10.0.0.1")
				r.addresses("late.good", sec, "10.0.0.2")
				good := []string{"web.good:80"}
				if apps == "one app" {
					names = append(names, good...)
				} else {
					r.Subscribe(newSet(good...), nil)
					time.Sleep(5 * sec) // it has been looked up before the others are added
				}
				s := newSet(names...)
				r.Subscribe(s, nil)
				time.Sleep(10 * sec)
				synctest.Wait()
				r.mu.Lock()
				begin := r.asked["web.good"][0]
				r.mu.Unlock()
				if begin > 5*sec || apps == "two apps" && begin > 0 {
					t.Errorf("asked for the first time after %v", begin)
				}
				time.Sleep(9 * time.Minute)
				r.expectOnTime("web.good", begin, begin+9*time.Minute)
				// A new name is looked up soon, and so is a name that answers again.
				late := newSet("late.good:80")
				at := r.now()
				r.Subscribe(late, nil)
				r.Await(t.Context(), late)
				if wait := r.now() - at; wait > quickTimeout {
					t.Errorf("a new name is known after %v", wait)
				}
				r.addresses("web.bad-0", sec, "10.0.0.3")
				at = r.now()
				for !slices.ContainsFunc(s.All(), func(t *upstream.Target) bool { return t.Addr.String() == "10.0.0.3:80" }) {
					time.Sleep(sec)
					if r.now()-at > time.Minute {
						t.Fatal("a name that answers again is not known after a minute")
					}
				}
			})
		})
	}
}

// When names of many zones begin to time out at once, a good name of the same app may be delayed until all of them have
// moved to the class slow, and a good name of another app by one turn at a time; afterwards none is delayed.
func TestManyZonesTimeOutAtOnce(t *testing.T) {
	for wait, apart := range map[time.Duration]bool{300 / refreshSlots * sec: false, sec: true} {
		run(t, func(t *testing.T, r *rig) {
			var names []string
			for i := range 300 {
				host := fmt.Sprintf("web.bad-%d", i)
				names = append(names, host+":80")
				r.addresses(host, sec, "10.0.0.9")
			}
			r.addresses("web.good", sec, "10.0.0.1")
			if apart {
				r.Subscribe(newSet("web.good:80"), nil)
			} else {
				names = append(names, "web.good:80")
			}
			r.Subscribe(newSet(names...), nil)
			time.Sleep(10 * sec)
			for i := range 300 {
				r.timesOut(fmt.Sprintf("web.bad-%d", i))
			}
			synctest.Wait()
			r.mu.Lock()
			delete(r.asked, "web.good")
			r.mu.Unlock()
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			r.mu.Lock()
			defer r.mu.Unlock()
			before, moved := 10*sec, (10+300/refreshSlots+2)*sec // moved: all bad names are in the class slow
			for _, at := range r.asked["web.good"] {
				if gap := at - before; gap > wait+2*sec || gap > sec && before > moved {
					t.Errorf("%v, apart %v: asked for after %v", at, apart, gap)
				}
				before = at
			}
			if before < 10*time.Minute {
				t.Errorf("apart %v: asked for until %v", apart, before)
			}
		})
	}
}

// The same with one zone: it has its share of the slots, and no other name is delayed.
func TestNamesOfOneZoneTimeOutAtOnce(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		var names []string
		for i := range 300 {
			host := fmt.Sprintf("web-%d.bad", i)
			names = append(names, host+":80")
			r.addresses(host, sec, "10.0.0.9")
		}
		r.addresses("web.good", sec, "10.0.0.1")
		r.Subscribe(newSet(append(names, "web.good:80")...), nil)
		time.Sleep(10 * sec)
		for i := range 300 {
			r.timesOut(fmt.Sprintf("web-%d.bad", i))
		}
		from := r.now()
		time.Sleep(10 * time.Minute)
		r.expectOnTime("web.good", from, from+10*time.Minute)
		for _, a := range r.Snapshot() {
			if good := a.Name.Host == "web.good"; good != (a.Overdue == 0) || good != (a.Err == nil) {
				t.Fatalf("%+v", a)
			}
		}
	})
}

// A slow lookup does not fail: it continues in the class slow, and no failure is reported.
func TestSlowNames(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.answer("web", func(ctx context.Context) (answer, error) {
			select {
			case <-ctx.Done():
				return answer{}, &timeoutError{quickTimeout}
			case <-time.After(6 * sec):
				return answer{addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, ttl: 10 * sec}, nil
			}
		})
		s := newSet("web:80")
		r.Subscribe(s, nil)
		time.Sleep(30 * sec)
		r.expectEndpoints(s, "10.0.0.1:80")
		r.expectAsked("web", 0, sec, 17*sec)
		r.expectReports()
	})
}

// An answer for one family is used while the other one is waited for.
func TestOneFamilyTimesOut(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.answer("web", func(ctx context.Context) (answer, error) {
			<-ctx.Done()
			return answer{addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, missing: ipv6}, errors.New("no IPv6")
		})
		s := newSet("web:80")
		r.Subscribe(s, nil)
		r.Await(t.Context(), s)
		if r.now() != sec {
			t.Errorf("known after %v", r.now())
		}
		r.expectEndpoints(s, "10.0.0.1:80")
		r.expectReports()
		time.Sleep(10 * sec)
		r.expectReports("11s web:80 (11s): partial: no IPv6")
	})
}

// A name that keeps timing out has the quick timeout, and every eighth time the slow one.
func TestTimeoutsOfUnansweredNames(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		var times []string
		r.answer("web", func(ctx context.Context) (answer, error) {
			began := r.now()
			<-ctx.Done()
			times = append(times, fmt.Sprintf("%v for %v", began, r.now()-began))
			return answer{}, &timeoutError{quickTimeout}
		})
		r.Subscribe(newSet("web:80"), nil)
		time.Sleep(74 * sec)
		synctest.Wait()
		want := "0s for 1s, 1s for 10s, 12s for 10s, 24s for 1s, 29s for 1s, 35s for 1s, 41s for 1s, 47s for 1s, 53s for 1s, 59s for 10s"
		if got := strings.Join(times, ", "); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	})
}

// enqueue adds n entries of one owner to a class.
func enqueue(c *class, set *upstream.Set, zone string, n int) []*entry {
	owner := &name{address: parse("web." + zone + ":80"), subscribers: map[*subscriber]bool{{set: set}: true}}
	var all []*entry
	for i := range n {
		e := &entry{question: question{name: fmt.Sprintf("%d.%s", i, zone)}, owner: owner, class: c}
		c.add(e)
		all = append(all, e)
	}
	return all
}

func takeAll(c *class) string {
	var got []string
	for e := c.next(); e != nil; e = c.next() {
		got = append(got, e.name)
	}
	return strings.Join(got, " ")
}

func TestFairQueueing(t *testing.T) {
	one, two := newSet("a:1"), newSet("b:1")
	c := newClass(8, 3)
	a := enqueue(&c, one, "a", 4)
	enqueue(&c, one, "b", 3)
	third := enqueue(&c, two, "c", 5)
	// The apps take turns, and so do the zones within the first app; none exceeds its share.
	if got, want := takeAll(&c), "0.a 0.c 0.b 1.c 1.a 2.c 1.b 2.a"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	c.release(third[0])
	c.release(third[1])
	if got, want := takeAll(&c), "2.b 3.c"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	c.release(a[0])
	c.remove(a[3]) // dropped while it is queued
	if got, want := takeAll(&c), "4.c"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// After any sequence of operations, the slots in use are bounded, an entry that may run is never left queued while slots
// are free, and no flow or app is left over in the end.
func TestClassInvariants(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	c := newClass(6, 2)
	sets := []*upstream.Set{newSet("a:1"), newSet("b:1"), newSet("c:1")}
	var queued, busy []*entry
	for range 20000 {
		switch random.IntN(4) {
		case 0:
			queued = append(queued, enqueue(&c, sets[random.IntN(3)], string(rune('a'+random.IntN(4))), 1)...)
		case 1:
			if len(queued) > 0 {
				i := random.IntN(len(queued))
				c.remove(queued[i])
				queued = slices.Delete(queued, i, i+1)
			}
		case 2:
			if len(busy) > 0 {
				i := random.IntN(len(busy))
				c.release(busy[i])
				busy = slices.Delete(busy, i, i+1)
			}
		}
		for random.IntN(3) > 0 {
			e := c.next()
			if e == nil {
				break
			}
			busy = append(busy, e)
			queued = slices.DeleteFunc(queued, func(w *entry) bool { return w == e })
		}
		if len(busy) > 6 || c.busy != len(busy) {
			t.Fatalf("%d are busy, of %d", len(busy), c.busy)
		}
		share := map[fairKey]int{}
		for _, e := range busy {
			if share[e.fairKey]++; share[e.fairKey] > 2 {
				t.Fatalf("%v has more than its share", e.fairKey)
			}
		}
	}
	for _, e := range busy {
		c.release(e)
	}
	for _, e := range queued {
		c.remove(e)
	}
	if len(c.flows)+len(c.apps)+c.ready.Len()+c.busy != 0 {
		t.Errorf("%d flows, %d apps, %d ready apps and %d slots in use are left", len(c.flows), len(c.apps), c.ready.Len(), c.busy)
	}
}
