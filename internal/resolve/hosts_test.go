package resolve

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tcp-proxy/internal/upstream"
)

// manyHosts makes a service have n hosts, each with its own address.
func (r *rig) manyHosts(service string, ttl time.Duration, n int) {
	var records []string
	for i := range n {
		host := fmt.Sprintf("host-%04d.", i)
		records = append(records, host+" 80 0 0")
		r.addresses(host, ttl, fmt.Sprintf("10.1.%d.%d", i/250, 1+i%250))
	}
	rand.Shuffle(n, func(i, j int) { records[i], records[j] = records[j], records[i] })
	r.services(service, ttl, records...)
}

// If a service has too many hosts, the first ones are looked up, and the status says so. The order of the records makes no
// difference.
func TestTooManyHosts(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		s := newSet("srv:service")
		r.manyHosts("service", 10*sec, maxHosts+900)
		r.Subscribe(s, nil)
		r.expectReports("0s srv:service (0s): partial: its records name 1400 hosts, of which 500 are looked up")
		if n := len(s.All()); n != maxHosts {
			t.Errorf("%d endpoints", n)
		}
		if n := len(r.entries); n != maxHosts+1 {
			t.Errorf("%d questions", n)
		}
		before := s.All()
		r.manyHosts("service", 10*sec, maxHosts+900)
		time.Sleep(10 * sec)
		synctest.Wait()
		for i, t := range s.All() {
			if t.Addr != before[i].Addr {
				r.t.Fatal("other hosts were chosen")
			}
		}
		r.manyHosts("service", 10*sec, maxHosts)
		time.Sleep(10 * sec)
		r.expectReports("20s srv:service (0s): works")
	})
}

// An answer without a change costs the same for any number of hosts; and the endpoints of a name are made once a second,
// however many answers change.
func TestWorkPerAnswer(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		var s *upstream.Set
		r.manyHosts("service", sec, maxHosts)
		visits := func(of time.Duration) (visits, answers int) {
			synctest.Wait()
			r.Resolver.mu.Lock()
			before := r.hostVisits
			r.Resolver.mu.Unlock()
			r.mu.Lock()
			clear(r.asked)
			r.mu.Unlock()
			time.Sleep(of)
			synctest.Wait()
			r.mu.Lock()
			for _, times := range r.asked {
				answers += len(times)
			}
			r.mu.Unlock()
			r.Resolver.mu.Lock()
			defer r.Resolver.mu.Unlock()
			return r.hostVisits - before, answers
		}
		s = newSet("srv:service")
		r.Subscribe(s, nil)
		if n, _ := visits(sec / 2); n > 3*maxHosts {
			t.Errorf("%d hosts were looked at for the first answers", n)
		}
		if n, answers := visits(10 * sec); n != 0 || answers < 9*maxHosts {
			t.Errorf("%d hosts were looked at for %d answers that say what is known", n, answers)
		}
		for i := range maxHosts { // each says something else each time, and at a time of its own
			r.answer(fmt.Sprintf("host-%04d.", i), func(context.Context) (answer, error) {
				time.Sleep(time.Duration(i%8) * time.Millisecond)
				return answer{addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 2, byte(rand.Int()), byte(rand.Int())})}, ttl: sec}, nil
			})
		}
		if n, answers := visits(10 * sec); n > 11*maxHosts || answers < 4*maxHosts {
			t.Errorf("%d hosts were looked at for %d answers in 10s, want %d a second at most", n, answers, maxHosts)
		}
		for i := range maxHosts { // each fails and comes back
			works := false // a question is asked once at a time
			r.answer(fmt.Sprintf("host-%04d.", i), func(context.Context) (answer, error) {
				if works = !works; works {
					return answer{addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 2, 0, 1})}, ttl: sec}, nil
				}
				return answer{}, errors.New("no answer")
			})
		}
		if n, answers := visits(10 * sec); n > 11*maxHosts+answers || answers < 4*maxHosts {
			t.Errorf("%d hosts were looked at for %d answers in 10s, want %d a second at most", n, answers, maxHosts)
		}
	})
}

// A reported error is one line of bounded length, however many hosts fail and whatever servers answer.
func TestTextsAreBounded(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.manyHosts("service", 10*sec, 1400)
		for i := range 1400 {
			r.answer(fmt.Sprintf("host-%04d.", i), func(context.Context) (answer, error) {
				return answer{}, errors.New("\x1b[2Jno\nanswer " + strings.Repeat("x", 100_000))
			})
		}
		r.Subscribe(newSet("srv:service"), nil)
		synctest.Wait()
		text := r.Snapshot()[0].Err.Error()
		for _, want := range []string{`host host-0000: \x1b[2Jno\nanswer xxx`, "(and 499 more of its hosts)", "its records name 1400 hosts"} {
			if !strings.Contains(text, want) {
				t.Errorf("%q has no %q", text, want)
			}
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.reports) != 1 {
			t.Errorf("%d reports", len(r.reports))
		}
		for _, text := range append(r.reports, text) {
			if len(text) > 1000 || strings.ContainsAny(text, "\n\x1b") {
				t.Errorf("%d bytes: %q", len(text), text)
			}
		}
	})
}

// Hosts that answer are used even if others never do.
func TestHostsWithoutAnAnswer(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.services("service", 10*sec, "one. 80 0 0", "two. 80 0 0")
		r.addresses("one.", 10*sec, "10.0.0.1")
		r.timesOut("two.")
		s := newSet("srv:service")
		r.Subscribe(s, nil)
		r.Await(t.Context(), s)
		if r.now() != waitForHosts {
			t.Errorf("known after %v", r.now())
		}
		r.expectEndpoints(s, "10.0.0.1:80")
		r.expectReports()
		time.Sleep(10 * sec)
		r.expectReports("11s srv:service (11s): partial: host two: no answer within 1s")
		// The same if each answer has other hosts that do not answer.
		for round := range 3 {
			r.services("service", 10*sec, "one. 80 0 0", fmt.Sprintf("new-%d. 80 0 0", round))
			r.timesOut(fmt.Sprintf("new-%d.", round))
			r.addresses("one.", 10*sec, fmt.Sprintf("10.0.0.%d", 10+round))
			time.Sleep(20 * sec)
			r.expectEndpoints(s, fmt.Sprintf("10.0.0.%d:80", 10+round))
		}
	})
}

// A service with other hosts in each answer, none of which answers, leaves no entry behind.
func TestChangingHosts(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		generation := 0
		r.answer("service", func(context.Context) (answer, error) {
			generation++
			a := answer{ttl: sec}
			for i := range maxHosts {
				host := fmt.Sprintf("host-%d-%04d.", generation, i)
				r.timesOut(host)
				a.services = append(a.services, service{host: host, port: 80})
			}
			return a, nil
		})
		r.addresses("good.", sec, "10.0.0.1")
		r.Subscribe(newSet("good.:80", "srv:service"), nil)
		time.Sleep(time.Minute)
		r.expectOnTime("good.", 0, time.Minute)
		r.Resolver.mu.Lock()
		defer r.Resolver.mu.Unlock()
		queued, questions := 0, len(r.entries)
		for _, l := range []*class{&r.schedule.refresh, &r.schedule.initial, &r.schedule.slow} {
			for _, m := range l.flows {
				queued += m.queue.Len()
			}
		}
		if questions > maxHosts+2 || queued > maxHosts {
			t.Errorf("%d questions, %d wait", questions, queued)
		}
	})
}

// An answer that is not refreshed in time is overdue, whether a failure is reported or not.
func TestOverdue(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.addresses("web", 10*sec, "10.0.0.1")
		r.services("service", time.Hour, "web 80 0 0")
		r.Subscribe(newSet("web:80", "srv:service", "never:80"), nil)
		overdue := func() (all []time.Duration) {
			synctest.Wait()
			for _, a := range r.Snapshot() { // never, service, web
				all = append(all, a.Overdue)
			}
			return all
		}
		time.Sleep(9 * sec)
		r.timesOut("web")
		time.Sleep(5 * sec)
		if got := overdue(); fmt.Sprint(got) != "[0s 0s 0s]" {
			t.Error(got)
		}
		time.Sleep(3 * sec)
		r.expectReports("0s never:80 (0s): no address: no such host")
		if got := overdue(); fmt.Sprint(got) != "[0s 7s 7s]" {
			t.Error(got)
		}
		time.Sleep(30 * sec)
		if got := overdue(); fmt.Sprint(got) != "[0s 37s 37s]" {
			t.Error(got)
		}
		r.addresses("web", 10*sec, "10.0.0.1")
		time.Sleep(15 * sec)
		if got := overdue(); fmt.Sprint(got) != "[0s 0s 0s]" {
			t.Error(got)
		}
	})
}
