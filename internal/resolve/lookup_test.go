package resolve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

func a(n byte) *dnsmessage.AResource { return &dnsmessage.AResource{A: [4]byte{10, 0, 0, n}} }

func aaaa(n byte) *dnsmessage.AAAAResource {
	return &dnsmessage.AAAAResource{AAAA: [16]byte{0: 0xfd, 15: n}}
}

func TestLookUp(t *testing.T) {
	const name = "web.internal."
	host := func(q dnsmessage.Question, four, six []dnsmessage.Resource) reply {
		switch q.Type {
		case dnsmessage.TypeA:
			return reply{records: four}
		case dnsmessage.TypeAAAA:
			return reply{records: six}
		}
		return reply{code: dnsmessage.RCodeRefused}
	}
	one := dnsmessage.MustNewName("one.internal.")
	for _, c := range []struct {
		what  string
		reply func(q dnsmessage.Question, stream bool) reply
		want  string
		err   string
	}{
		{"both families", func(q dnsmessage.Question, _ bool) reply {
			return host(q, []dnsmessage.Resource{rr(name, 70, a(2)), rr(name, 70, a(1))}, []dnsmessage.Resource{rr(name, 60, aaaa(1))})
		}, "[10.0.0.1 10.0.0.2 fd00::1] 1m0s", ""},
		{"one family", func(q dnsmessage.Question, _ bool) reply {
			return host(q, []dnsmessage.Resource{rr(name, 70, a(1)), rr(name, 50, a(1))}, nil)
		}, "[10.0.0.1] 50s", ""},
		{"an alias", func(q dnsmessage.Question, _ bool) reply {
			return host(q, []dnsmessage.Resource{rr(name, 40, &dnsmessage.CNAMEResource{CNAME: one}), rr("one.internal.", 80, a(1))},
				[]dnsmessage.Resource{rr(name, 41, &dnsmessage.CNAMEResource{CNAME: one})})
		}, "[10.0.0.1] 40s", ""},
		{"IPv4 in IPv6", func(q dnsmessage.Question, _ bool) reply {
			return host(q, []dnsmessage.Resource{rr(name, 70, a(1))},
				[]dnsmessage.Resource{rr(name, 70, &dnsmessage.AAAAResource{AAAA: netip.MustParseAddr("::ffff:10.0.0.1").As16()})})
		}, "[10.0.0.1] 1m10s", ""},
		{"no time to live", func(q dnsmessage.Question, _ bool) reply {
			return host(q, []dnsmessage.Resource{rr(name, 0, a(1))}, nil)
		}, "[10.0.0.1] 0s", ""},
		{"too much for a packet", func(q dnsmessage.Question, stream bool) reply {
			if !stream {
				return reply{truncated: true, records: []dnsmessage.Resource{rr(name, 1, a(9))}}
			}
			return host(q, []dnsmessage.Resource{rr(name, 33, a(1)), rr(name, 33, a(2))}, nil)
		}, "[10.0.0.1 10.0.0.2] 33s", ""},
		{"no such name", func(dnsmessage.Question, bool) reply {
			return reply{code: dnsmessage.RCodeNameError}
		}, "[] 30s", "no such host"},
		{"a name without addresses", func(dnsmessage.Question, bool) reply { return reply{} }, "[] 30s", "no such host"},
		{"a server that fails", func(dnsmessage.Question, bool) reply {
			return reply{code: dnsmessage.RCodeServerFailure}
		}, "[] 30s", "server misbehaving"},
		{"a server that fails for IPv6", func(q dnsmessage.Question, _ bool) reply {
			if q.Type == dnsmessage.TypeAAAA {
				return reply{code: dnsmessage.RCodeServerFailure}
			}
			return host(q, []dnsmessage.Resource{rr(name, 70, a(1))}, nil)
		}, "[10.0.0.1] 1m10s without IPv6", "lookup web.internal.: no answer for its IPv6 addresses"},
		{"a server that fails for IPv4", func(q dnsmessage.Question, _ bool) reply {
			if q.Type == dnsmessage.TypeA {
				return reply{code: dnsmessage.RCodeServerFailure}
			}
			return host(q, nil, []dnsmessage.Resource{rr(name, 70, aaaa(1))})
		}, "[fd00::1] 1m10s without IPv4", "lookup web.internal.: no answer for its IPv4 addresses"},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			s := serve(t, c.reply)
			got, err := s.lookUp(question{name: name})
			text := fmt.Sprintf("%v %v", got.addresses, got.ttl)
			if got.unheard != 0 {
				text += " without " + got.unheard.String()
			}
			if text != c.want {
				t.Errorf("%s, want %s", text, c.want)
			}
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
		})
	}
}

func TestLookUpServices(t *testing.T) {
	const name = "_web._tcp.internal."
	srv := func(ttl uint32, target string, port, priority, weight uint16) dnsmessage.Resource {
		return rr(name, ttl, &dnsmessage.SRVResource{
			Target: dnsmessage.MustNewName(target), Port: port, Priority: priority, Weight: weight,
		})
	}
	for _, c := range []struct {
		what    string
		records []dnsmessage.Resource
		want    string
		err     string
	}{
		{"two", []dnsmessage.Resource{srv(70, "B.internal.", 81, 20, 1), srv(60, "a.internal.", 80, 10, 5)},
			"[{a.internal. 80 10 5} {b.internal. 81 20 1}] 1m0s", ""},
		{"none", nil, "[] 30s", "no such host"},
		{"no service", []dnsmessage.Resource{srv(70, ".", 0, 0, 0)}, "[] 1m10s", "says that there is no such service"},
		{"one that is no name", []dnsmessage.Resource{srv(70, "a.internal.", 80, 0, 0), srv(70, "not a name.", 80, 1, 0)},
			"[{a.internal. 80 0 0}] 1m10s", "invalid names"},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(q dnsmessage.Question, _ bool) reply {
				if q.Type != dnsmessage.TypeSRV || q.Name.String() != name {
					t.Errorf("asked for %v %v", q.Type, q.Name)
				}
				return reply{records: c.records}
			})
			got, err := s.lookUp(question{srv: true, name: name})
			if text := fmt.Sprintf("%v %v", got.services, got.ttl); text != c.want {
				t.Errorf("%s, want %s", text, c.want)
			}
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
		})
	}
}

// Records that were left out leave those that are good.
func TestAnswerWithAnError(t *testing.T) {
	before := answer{services: []service{{host: "old."}}}
	if got := (answer{services: []service{{host: "new."}}}).or(before); got.services[0].host != "new." {
		t.Errorf("%+v", got)
	}
	if got := (answer{}).or(before); got.services[0].host != "old." {
		t.Errorf("%+v", got)
	}
}

// What belongs to another query says nothing, as it does to package net.
func TestSpoofedAnswer(t *testing.T) {
	s := serve(t, func(q dnsmessage.Question, _ bool) reply {
		if q.Type == dnsmessage.TypeA {
			return reply{records: []dnsmessage.Resource{rr(q.Name.String(), 77, a(1))}}
		}
		return reply{}
	})
	s.spoof.Store(true)
	got, err := s.lookUp(question{name: "web.internal."})
	if err != nil || got.ttl != 77*time.Second {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestALargeAnswerComesOverAStream(t *testing.T) {
	const n = 2000
	s := serve(t, func(q dnsmessage.Question, stream bool) reply {
		switch {
		case q.Type != dnsmessage.TypeA:
			return reply{}
		case !stream:
			return reply{truncated: true}
		}
		r := reply{}
		for i := range n {
			r.records = append(r.records, rr(q.Name.String(), 20, &dnsmessage.AResource{A: [4]byte{10, 0, byte(i / 250), byte(1 + i%250)}}))
		}
		return r
	})
	got, err := s.lookUp(question{name: "web.internal."})
	if err != nil || len(got.addresses) != n || got.ttl != 20*time.Second || s.streamy.Load() == 0 {
		t.Errorf("%d addresses for %v over %d streams, %v", len(got.addresses), got.ttl, s.streamy.Load(), err)
	}
}

// What stands in /etc/hosts is asked of no server.
func TestLookUpInAFile(t *testing.T) {
	got, err := lookUpWith(t.Context(), question{name: "localhost"}, func(context.Context, string, string) (net.Conn, error) {
		t.Error("a server was asked")
		return nil, errors.New("none")
	})
	if err != nil || len(got.addresses) == 0 || !got.addresses[0].IsLoopback() || got.ttl != defaultTTL {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestLookUpIsEndedByItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ended := make(chan error)
	go func() {
		_, err := lookUpWith(ctx, question{name: "web.internal."}, func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "udp", silent.LocalAddr().String())
		})
		ended <- err
	}()
	if _, _, err := silent.ReadFrom(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	cancel()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("no error")
		}
	case <-time.After(4 * time.Second): // less than the 5 that package net waits for an answer
		t.Fatal("it goes on")
	}
}
