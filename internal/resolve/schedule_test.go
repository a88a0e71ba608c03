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

// silent has a name be asked for without an answer.
func (r *rig) silent(name string) {
	r.answer(name, func(ctx context.Context) (answer, error) {
		<-ctx.Done()
		return answer{}, &noAnswer{quickPatience}
	})
}

// expectOnTime wants a name to have been asked for every second since the last time.
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

// Nothing that stays silent keeps a name that answers from being refreshed: 1,400 hosts of an SRV name and 80 plain names
// of as many zones, of the same app or of another.
func TestSilentNamesDoNotFreezeOthers(t *testing.T) {
	for _, apps := range []string{"one app", "two apps"} {
		t.Run(apps, func(t *testing.T) {
			run(t, func(t *testing.T, r *rig) {
				var hosts []string
				for i := range 1400 {
					host := fmt.Sprintf("host-%d.bad.", i)
					hosts = append(hosts, host+" 80 0 0")
					r.silent(host)
				}
				r.services("_web._tcp.bad", sec, hosts...)
				names := []string{"srv:_web._tcp.bad"}
				for i := range 80 {
					host := fmt.Sprintf("web.bad-%d", i)
					names = append(names, host+":80")
					r.silent(host)
				}
				r.addresses("web.good", sec, "10.0.0.1")
				r.addresses("late.good", sec, "10.0.0.2")
				good := []string{"web.good:80"}
				if apps == "one app" {
					names = append(names, good...)
				} else {
					r.Watch(newSet(good...), nil)
					time.Sleep(5 * sec) // it is known before the others come
				}
				s := newSet(names...)
				r.Watch(s, nil)
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
				// A name that is new is known soon, and so is a name that was silent.
				late := newSet("late.good:80")
				at := r.now()
				r.Watch(late, nil)
				r.Await(t.Context(), late)
				if wait := r.now() - at; wait > quickPatience {
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

// When names of many zones that were good fall silent at once, one that is good waits for that to be found out, once: for
// as long as that takes in its own app, for a turn in another.
func TestZonesThatFallSilent(t *testing.T) {
	for wait, apart := range map[time.Duration]bool{300 / keptPlaces * sec: false, sec: true} {
		run(t, func(t *testing.T, r *rig) {
			var names []string
			for i := range 300 {
				host := fmt.Sprintf("web.bad-%d", i)
				names = append(names, host+":80")
				r.addresses(host, sec, "10.0.0.9")
			}
			r.addresses("web.good", sec, "10.0.0.1")
			if apart {
				r.Watch(newSet("web.good:80"), nil)
			} else {
				names = append(names, "web.good:80")
			}
			r.Watch(newSet(names...), nil)
			time.Sleep(10 * sec)
			for i := range 300 {
				r.silent(fmt.Sprintf("web.bad-%d", i))
			}
			synctest.Wait()
			r.mu.Lock()
			delete(r.asked, "web.good")
			r.mu.Unlock()
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			r.mu.Lock()
			defer r.mu.Unlock()
			late, before := 0, 10*sec
			for _, at := range r.asked["web.good"] {
				if gap := at - before; gap > wait+2*sec {
					t.Errorf("%v, apart %v: asked for after %v", at, apart, gap)
				} else if gap > sec {
					late++
				}
				before = at
			}
			if late > 2 || before < 10*time.Minute {
				t.Errorf("apart %v: late %d times, asked for until %v", apart, late, before)
			}
		})
	}
}

// The same with one zone: it has its share of the lookups, and nobody else is late.
func TestNamesThatFallSilent(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		var names []string
		for i := range 300 {
			host := fmt.Sprintf("web-%d.bad", i)
			names = append(names, host+":80")
			r.addresses(host, sec, "10.0.0.9")
		}
		r.addresses("web.good", sec, "10.0.0.1")
		r.Watch(newSet(append(names, "web.good:80")...), nil)
		time.Sleep(10 * sec)
		for i := range 300 {
			r.silent(fmt.Sprintf("web-%d.bad", i))
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

// A lookup that takes its time is not failed for it: it goes on in the slow lane, and nobody is told.
func TestSlowNames(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.answer("web", func(ctx context.Context) (answer, error) {
			select {
			case <-ctx.Done():
				return answer{}, &noAnswer{quickPatience}
			case <-time.After(6 * sec):
				return answer{addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, ttl: 10 * sec}, nil
			}
		})
		s := newSet("web:80")
		r.Watch(s, nil)
		time.Sleep(30 * sec)
		r.expectEndpoints(s, "10.0.0.1:80")
		r.expectAsked("web", 0, sec, 17*sec)
		r.expectTold()
	})
}

// Half an answer that came in time counts while the other half is waited for.
func TestASlowHalf(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.answer("web", func(ctx context.Context) (answer, error) {
			<-ctx.Done()
			return answer{addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, unheard: ipv6}, errors.New("no IPv6")
		})
		s := newSet("web:80")
		r.Watch(s, nil)
		r.Await(t.Context(), s)
		if r.now() != sec {
			t.Errorf("known after %v", r.now())
		}
		r.expectEndpoints(s, "10.0.0.1:80")
		r.expectTold()
		time.Sleep(10 * sec)
		r.expectTold("11s web:80 (11s): no IPv6")
	})
}

// A name that stays silent is asked briefly, and now and then with all patience.
func TestPatienceWithSilentNames(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		var times []string
		r.answer("web", func(ctx context.Context) (answer, error) {
			began := r.now()
			<-ctx.Done()
			times = append(times, fmt.Sprintf("%v for %v", began, r.now()-began))
			return answer{}, &noAnswer{quickPatience}
		})
		r.Watch(newSet("web:80"), nil)
		time.Sleep(74 * sec)
		synctest.Wait()
		want := "0s for 1s, 1s for 10s, 12s for 10s, 24s for 1s, 29s for 1s, 35s for 1s, 41s for 1s, 47s for 1s, 53s for 1s, 59s for 10s"
		if got := strings.Join(times, ", "); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	})
}

// waiting puts questions in a lane, each with an owner.
func waiting(l *lane, set *upstream.Set, zone string, n int) []*record {
	owner := &name{address: parse("web." + zone + ":80"), audience: map[*audience]bool{{set: set}: true}}
	var all []*record
	for i := range n {
		q := &record{question: question{name: fmt.Sprintf("%d.%s", i, zone)}, owner: owner, lane: l}
		l.add(q)
		all = append(all, q)
	}
	return all
}

func take(l *lane) string {
	var got []string
	for q := l.next(); q != nil; q = l.next() {
		got = append(got, q.name)
	}
	return strings.Join(got, " ")
}

func TestTurns(t *testing.T) {
	one, two := newSet("a:1"), newSet("b:1")
	l := newLane(8, 3)
	a := waiting(&l, one, "a", 4)
	waiting(&l, one, "b", 3)
	c := waiting(&l, two, "c", 5)
	// The apps take turns, and in the first one its zones do; none has more than its share.
	if got, want := take(&l), "0.a 0.c 0.b 1.c 1.a 2.c 1.b 2.a"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	l.done(c[0])
	l.done(c[1])
	if got, want := take(&l), "2.b 3.c"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	l.done(a[0])
	l.remove(a[3]) // nobody wants it any more
	if got, want := take(&l), "4.c"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// Whatever happens, places are bounded, nobody who may be next is left waiting, and nothing is kept of who is gone.
func TestScheduleHolds(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	l := newLane(6, 2)
	sets := []*upstream.Set{newSet("a:1"), newSet("b:1"), newSet("c:1")}
	var waits, busy []*record
	for range 20000 {
		switch random.IntN(4) {
		case 0:
			waits = append(waits, waiting(&l, sets[random.IntN(3)], string(rune('a'+random.IntN(4))), 1)...)
		case 1:
			if len(waits) > 0 {
				i := random.IntN(len(waits))
				l.remove(waits[i])
				waits = slices.Delete(waits, i, i+1)
			}
		case 2:
			if len(busy) > 0 {
				i := random.IntN(len(busy))
				l.done(busy[i])
				busy = slices.Delete(busy, i, i+1)
			}
		}
		for random.IntN(3) > 0 {
			q := l.next()
			if q == nil {
				break
			}
			busy = append(busy, q)
			waits = slices.DeleteFunc(waits, func(w *record) bool { return w == q })
		}
		if len(busy) > 6 || l.busy != len(busy) {
			t.Fatalf("%d are busy, of %d", len(busy), l.busy)
		}
		share := map[party]int{}
		for _, q := range busy {
			if share[q.party]++; share[q.party] > 2 {
				t.Fatalf("%v has more than its share", q.party)
			}
		}
	}
	for _, q := range busy {
		l.done(q)
	}
	for _, q := range waits {
		l.remove(q)
	}
	if len(l.parties)+len(l.apps)+l.turns.Len()+l.busy != 0 {
		t.Errorf("%d parties, %d apps, %d turns and %d places are left", len(l.parties), len(l.apps), l.turns.Len(), l.busy)
	}
}
