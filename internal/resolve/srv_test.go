package resolve

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestServices(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.services("_web._tcp.internal", 20*sec, "one. 80 0 3", "two. 81 0 1", "three. 80 1 0")
		r.addresses("one.", 10*sec, "10.0.0.1")
		r.addresses("two.", time.Hour, "10.0.0.2")
		r.addresses("three.", time.Hour, "10.0.0.3")
		s := newSet("srv:_web._tcp.internal")
		changes := 0
		r.Subscribe(s, func() { changes++ })
		r.expectEndpoints(s, "10.0.0.1:80*3", "10.0.0.2:81", "10.0.0.3:80")
		if changes != 1 {
			t.Errorf("%d changes: not all at once", changes)
		}
		var priorities []int
		for _, e := range r.Snapshot()[0].Endpoints {
			priorities = append(priorities, e.Priority)
		}
		if !slices.Equal(priorities, []int{0, 0, 1}) {
			t.Errorf("priorities %v", priorities)
		}
		// Each host has its own time to live.
		r.addresses("one.", 10*sec, "10.0.0.11")
		time.Sleep(10 * sec)
		r.expectEndpoints(s, "10.0.0.2:81", "10.0.0.11:80*3", "10.0.0.3:80")
		// Hosts of new records are looked up, those of removed records no longer.
		r.services("_web._tcp.internal", 20*sec, "two. 81 0 1", "four. 80 0 1")
		r.answer("four.", func(context.Context) (answer, error) {
			time.Sleep(3 * sec)
			return answer{addresses: []netip.Addr{netip.MustParseAddr("10.0.0.4")}, ttl: time.Hour}, nil
		})
		time.Sleep(12 * sec)
		r.expectEndpoints(s, "10.0.0.2:81", "10.0.0.11:80*3", "10.0.0.3:80") // until the new host is looked up
		time.Sleep(sec)
		r.expectEndpoints(s, "10.0.0.2:81", "10.0.0.4:80")
		r.mu.Lock()
		r.asked["one."] = nil
		r.mu.Unlock()
		time.Sleep(time.Minute)
		r.expectAsked("one.")
		r.expectReports()
		r.Unsubscribe(s)
		if len(r.entries) != 0 {
			t.Errorf("%d questions are left", len(r.entries))
		}
	})
}

func TestServicesThatFail(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		s := newSet("srv:service")
		r.services("service", 10*sec, "one. 80 0 0", "two. 80 0 0")
		r.addresses("one.", 10*sec, "10.0.0.1")
		r.Subscribe(s, nil)
		r.expectEndpoints(s, "10.0.0.1:80") // what there is
		r.expectReports("0s srv:service (0s): partial: host two: no such host")
		r.addresses("two.", 10*sec, "10.0.0.2")
		time.Sleep(sec)
		r.expectEndpoints(s, "10.0.0.1:80", "10.0.0.2:80")
		r.expectReports("1s srv:service (0s): works")
		r.addresses("one.", 0, "")
		time.Sleep(9 * sec)
		r.expectEndpoints(s, "10.0.0.1:80", "10.0.0.2:80")
		r.expectReports("10s srv:service (10s): partial: host one: no answer")
		r.answer("service", func(context.Context) (answer, error) { return answer{}, errors.New("no records") })
		r.addresses("one.", 10*sec, "10.0.0.11")
		time.Sleep(10 * sec)
		r.expectEndpoints(s, "10.0.0.2:80", "10.0.0.11:80") // the hosts of the last records are followed
		r.expectReports("11s srv:service (10s): works", "20s srv:service (20s): no records")
		r.services("service", 10*sec, "one. 80 0 0")
		time.Sleep(20 * sec)
		r.expectEndpoints(s, "10.0.0.11:80")
		r.expectReports("21s srv:service (20s): works")
	})
}

func TestServiceWithoutAddresses(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		s := newSet("srv:service")
		r.services("service", time.Hour, "one. 80 0 0")
		r.Subscribe(s, func() { t.Error("something new") })
		synctest.Wait()
		r.expectEndpoints(s)
		r.expectReports("0s srv:service (0s): no address: host one: no such host")
	})
}

func TestWeights(t *testing.T) {
	for _, c := range []struct {
		records []string
		want    string
	}{
		{[]string{"one. 80 0 0", "two. 80 0 0"}, "[1:80 p0 w0 2:80 p0 w0]"},
		{[]string{"one. 80 0 0", "two. 80 0 10"}, "[1:80 p0 w1 2:80 p0 w10]"},
		{[]string{"one. 80 0 256", "two. 80 0 1"}, "[1:80 p0 w256 2:80 p0 w1]"},
		{[]string{"one. 80 0 65535", "two. 80 0 6554"}, "[1:80 p0 w256 2:80 p0 w26]"},
		{[]string{"one. 80 0 65535", "two. 80 0 1"}, "[1:80 p0 w256 2:80 p0 w1]"},
		// The addresses of a host share its weight.
		{[]string{"one. 80 0 10", "pair. 80 0 10"}, "[1:80 p0 w10 3:80 p0 w5 4:80 p0 w5]"},
		{[]string{"one. 80 0 1", "pair. 80 0 1"}, "[1:80 p0 w256 3:80 p0 w128 4:80 p0 w128]"},
		// Weights are relative to those of the same priority.
		{[]string{"one. 80 7 1000", "two. 80 3 0"}, "[2:80 p3 w0 1:80 p7 w256]"},
		{[]string{"one. 80 1 0", "two. 80 1 5", "pair. 80 2 2"}, "[1:80 p1 w1 2:80 p1 w5 3:80 p2 w1 4:80 p2 w1]"},
		// An address with two names, and a host with two ports.
		{[]string{"one. 80 0 3", "same. 80 0 4", "two. 80 0 1"}, "[1:80 p0 w7 2:80 p0 w1]"},
		{[]string{"one. 80 2 3", "same. 80 1 4"}, "[1:80 p1 w4]"},
		{[]string{"one. 80 1 3", "same. 80 2 4"}, "[1:80 p1 w3]"},
		{[]string{"one. 80 0 3", "one. 81 0 4"}, "[1:80 p0 w3 1:81 p0 w4]"},
	} {
		run(t, func(t *testing.T, r *rig) {
			r.services("service", time.Hour, c.records...)
			for host, addresses := range map[string]string{
				"one.": "10.0.0.1", "same.": "10.0.0.1", "two.": "10.0.0.2", "pair.": "10.0.0.3 10.0.0.4",
			} {
				r.addresses(host, time.Hour, addresses)
			}
			r.Subscribe(newSet("srv:service"), nil)
			synctest.Wait()
			var got []string
			for _, e := range r.Snapshot()[0].Endpoints {
				got = append(got, fmt.Sprintf("%d:%d p%d w%d", e.Addr.Addr().As4()[3], e.Addr.Port(), e.Priority, e.Weight))
			}
			if fmt.Sprint(got) != c.want {
				t.Errorf("%v: %v, want %s", c.records, got, c.want)
			}
		})
	}
}
