package admin

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"

	"tcp-proxy/tests/harness"
)

// An observer asks over one connection that it keeps: a proxy that cannot accept answers it.
type observer struct {
	*seen
	client http.Client
}

func observe(s *seen) *observer {
	transport := &http.Transport{MaxConnsPerHost: 1, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", s.socket)
	}}
	s.t.Cleanup(transport.CloseIdleConnections)
	o := &observer{s, http.Client{Timeout: harness.Timeout, Transport: transport}}
	o.status()
	return o
}

func (o *observer) status() (got status) {
	o.t.Helper()
	response, err := o.client.Get("http://localhost/api/v1/status")
	if err != nil {
		o.t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&got); err != nil {
		o.t.Fatal(err)
	}
	return got
}

// events counts the events of a kind whose reason or text has a text in it.
func (o *observer) events(kind, app, part string) (n int) {
	o.t.Helper()
	for _, e := range o.status().Events {
		if e.Kind == kind && e.App == app && strings.Contains(e.Reason+e.Text, part) {
			n++
		}
	}
	return n
}

const full = "too many open files"

// Without descriptors for targets, and then for clients and pipes, who cannot be served is reset or waits, and those who are there
// notice nothing. Status, events, metrics and the log say so, once, while it lasts, and that it is over.
func TestWithoutDescriptors(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		s := see(r, web(r, r.Echo(), r.Echo()))
		var there []*harness.Conn
		for range 4 {
			c := s.Dial()
			c.Exchange(c, harness.Bytes(1, 1000))
			there = append(there, c)
		}
		untouched := func() {
			t.Helper()
			for _, c := range there {
				c.Exchange(c, harness.Bytes(2, 100_000))
			}
		}
		o := observe(s)
		if got := o.status(); len(got.Shortages) != 0 || got.Lacked["connect"] != 0 {
			t.Errorf("before: %+v %v", got.Shortages, got.Lacked)
		}

		s.Settle()
		restore := s.LeaveDescriptors(1) // for the client
		const clients = 5
		for range clients {
			r.ExpectRefusal(s.Address())
		}
		s.ends("web", "internal", clients)
		untouched()
		got := o.status()
		if len(got.Shortages) != 1 || got.Shortages[0].Kind != "connect" || got.Shortages[0].App != "web" || !strings.Contains(got.Shortages[0].Problem, full) {
			t.Errorf("it lasts: %+v", got.Shortages)
		}
		if n := o.events("connect_failing", "web", full); n != 1 {
			t.Errorf("%d events", n)
		}
		m := s.fresh()
		if m[`tcp_proxy_shortages_total{kind="connect"}`] < clients || m[`tcp_proxy_shortages{kind="connect"}`] != 1 {
			t.Errorf("metrics: %g in all, %g last", m[`tcp_proxy_shortages_total{kind="connect"}`], m[`tcp_proxy_shortages{kind="connect"}`])
		}
		harness.Eventually(t, "it is in the log", func() bool { return s.Log.Count(harness.Warning("connect failed for a local reason")) > 0 })

		restore()
		harness.Eventually(t, "it is over", func() bool {
			c := s.Dial()
			c.Exchange(c, []byte("x"))
			c.CloseWrite()
			c.ExpectEOF()
			c.Close()
			return len(o.status().Shortages) == 0
		})
		if n := o.events("connect_resumed", "web", ""); n != 1 {
			t.Errorf("%d events of the end", n)
		}
		harness.Eventually(t, "the log says so", func() bool { return strings.Contains(s.Log.Text(), "no more connects fail") })

		s.Settle()
		restore = s.LeaveDescriptors(0)
		waits := s.Dial()
		harness.Eventually(t, "the port fails", func() bool { return strings.Contains(o.status().Apps[0].Ports[0].Problem, full) })
		untouched()
		if n := o.events("accept_failing", "web", full); n != 1 {
			t.Errorf("%d events of accepting", n)
		}
		if engine == "loop" { // with copy, Go makes the pipes, and says nothing
			harness.Eventually(t, "there is no pipe", func() bool {
				there[0].Exchange(there[0], harness.Bytes(3, 2<<20))
				return o.status().Lacked["pipe"] > 0
			})
			if n := o.events("shortage", "", full); n != 1 {
				t.Errorf("%d events of pipes", n)
			}
		}
		restore()
		waits.Exchange(waits, []byte("at last"))
		harness.Eventually(t, "accepting is over", func() bool {
			return o.status().Apps[0].Ports[0].Problem == "" && o.events("accept_resumed", "web", "") == 1
		})
		untouched()
		if engine == "loop" {
			harness.Eventually(t, "there are pipes again", func() bool {
				there[0].Exchange(there[0], harness.Bytes(3, 2<<20))
				return o.events("shortage_over", "", "splicing") == 1
			})
		}
	})
}
