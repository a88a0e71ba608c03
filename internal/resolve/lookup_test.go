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

	"tcp-proxy/internal/testkit"
)

// type4and6 answers a question for addresses with the records of its family.
func type4and6(q dnsmessage.Question, four, six []dnsmessage.Resource) response {
	switch q.Type {
	case dnsmessage.TypeA:
		return response{records: four}
	case dnsmessage.TypeAAAA:
		return response{records: six}
	}
	return response{code: dnsmessage.RCodeRefused}
}

func expectError(t *testing.T, err error, want string) {
	t.Helper()
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
}

func TestLookUp(t *testing.T) {
	const name = "web.internal."
	type records = []dnsmessage.Resource
	chain := func(links int) (all records) {
		for i := range links {
			from := fmt.Sprintf("a%d.internal.", i)
			if i == 0 {
				from = name
			}
			all = append(all, rr(from, 50, cname(fmt.Sprintf("a%d.internal.", i+1))))
		}
		return append(all, rr(fmt.Sprintf("a%d.internal.", links), 60, a(1)))
	}
	for _, c := range []struct {
		what  string
		reply func(q dnsmessage.Question, tcp bool) response
		want  string
		err   string
	}{
		{"both families", func(q dnsmessage.Question, _ bool) response {
			return type4and6(q, records{rr(name, 70, a(2)), rr(name, 70, a(1))}, records{rr(name, 60, aaaa(1))})
		}, "[10.0.0.1 10.0.0.2 fd00::1] 1m0s", ""},
		{"one family", func(q dnsmessage.Question, _ bool) response {
			return type4and6(q, records{rr(name, 70, a(1)), rr(name, 50, a(1))}, nil)
		}, "[10.0.0.1] 50s", ""},
		{"an alias", func(q dnsmessage.Question, _ bool) response {
			return type4and6(q, records{rr(name, 40, cname("one.internal.")), rr("one.internal.", 80, a(1))},
				records{rr(name, 41, cname("one.internal."))})
		}, "[10.0.0.1] 40s", ""},
		{"an alias after its target, in another case", func(q dnsmessage.Question, _ bool) response {
			return type4and6(q, records{rr("one.INTERNAL.", 80, a(1)), rr("Web.internal.", 40, cname("ONE.internal."))}, nil)
		}, "[10.0.0.1] 40s", ""},
		{"the maximum number of aliases", func(q dnsmessage.Question, _ bool) response {
			return type4and6(q, chain(maxAliases), nil)
		}, "[10.0.0.1] 50s", ""},
		{"too many aliases", func(q dnsmessage.Question, _ bool) response {
			return type4and6(q, chain(maxAliases+1), nil)
		}, "[] 0s", "leads through more than 16 aliases"},
		{"an alias of itself", func(q dnsmessage.Question, _ bool) response {
			return type4and6(q, records{rr(name, 40, cname(name))}, nil)
		}, "[] 0s", "leads through more than 16 aliases"},
		{"records of other names", func(q dnsmessage.Question, _ bool) response {
			return type4and6(q, records{rr("other.internal.", 1, a(9)), rr(name, 70, a(1)), rr("other.internal.", 2, cname("web.internal."))},
				records{rr("other.internal.", 1, aaaa(9))})
		}, "[10.0.0.1] 1m10s", ""},
		{"records of other types", func(q dnsmessage.Question, _ bool) response {
			return type4and6(q, records{rr(name, 1, aaaa(9)), rr(name, 70, a(1)), rr(name, 2, srv("x.", 1, 1, 1))}, nil)
		}, "[10.0.0.1] 1m10s", ""},
		{"IPv4 in IPv6", func(q dnsmessage.Question, _ bool) response {
			return type4and6(q, records{rr(name, 70, a(1))},
				records{rr(name, 70, &dnsmessage.AAAAResource{AAAA: netip.MustParseAddr("::ffff:10.0.0.1").As16()})})
		}, "[10.0.0.1] 1m10s", ""},
		{"no time to live", func(q dnsmessage.Question, _ bool) response {
			return type4and6(q, records{rr(name, 0, a(1))}, nil)
		}, "[10.0.0.1] 0s", ""},
		{"a negative time to live (RFC 2181, section 8)", func(q dnsmessage.Question, _ bool) response {
			return type4and6(q, records{rr(name, 1<<31, a(1))}, nil)
		}, "[10.0.0.1] 0s", ""},
		{"too large for UDP", func(q dnsmessage.Question, tcp bool) response {
			if !tcp {
				return response{truncated: true, records: records{rr(name, 1, a(9))}}
			}
			return type4and6(q, records{rr(name, 33, a(1)), rr(name, 33, a(2))}, nil)
		}, "[10.0.0.1 10.0.0.2] 33s", ""},
		{"truncated over TCP", func(q dnsmessage.Question, tcp bool) response {
			return response{truncated: true}
		}, "[] 0s", "malformed"},
		{"a server without EDNS0", func(q dnsmessage.Question, _ bool) response {
			r := type4and6(q, records{rr(name, 70, a(1))}, nil)
			r.noEDNS = true
			return r
		}, "[10.0.0.1] 1m10s", ""},
		{"no such name", func(dnsmessage.Question, bool) response {
			return response{code: dnsmessage.RCodeNameError}
		}, "[] 0s", "lookup web.internal: no such host"},
		{"a name without addresses", func(dnsmessage.Question, bool) response { return response{} }, "[] 0s", "no such host"},
		{"a server that fails", func(dnsmessage.Question, bool) response {
			return response{code: dnsmessage.RCodeServerFailure}
		}, "[] 0s", "it cannot answer (SERVFAIL)"},
		{"a server without recursion", func(dnsmessage.Question, bool) response { return response{nonRecursive: true} }, "[] 0s", "it has no answer and does not ask other servers"},
		{"a server that fails for IPv6", func(q dnsmessage.Question, _ bool) response {
			if q.Type == dnsmessage.TypeAAAA {
				return response{code: dnsmessage.RCodeServerFailure}
			}
			return type4and6(q, records{rr(name, 70, a(1))}, nil)
		}, "[10.0.0.1] 0s without IPv6", "lookup web.internal: its IPv6 addresses: server"},
		{"a server that fails for IPv4", func(q dnsmessage.Question, _ bool) response {
			if q.Type == dnsmessage.TypeA {
				return response{code: dnsmessage.RCodeServerFailure}
			}
			return type4and6(q, nil, records{rr(name, 70, aaaa(1))})
		}, "[fd00::1] 0s without IPv4", "lookup web.internal: its IPv4 addresses: server"},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			s := serve(t, c.reply)
			got, err := s.lookUp(question{name: name})
			text := fmt.Sprintf("%v %v", got.addresses, got.ttl)
			if got.missing != 0 {
				text += " without " + got.missing.String()
			}
			if text != c.want {
				t.Errorf("%s, want %s", text, c.want)
			}
			expectError(t, err, c.err)
		})
	}
}

func TestLookUpServices(t *testing.T) {
	const name = "_web._tcp.internal."
	rec := func(ttl uint32, target string, port, priority, weight uint16) dnsmessage.Resource {
		return rr(name, ttl, srv(target, port, priority, weight))
	}
	for _, c := range []struct {
		what    string
		records []dnsmessage.Resource
		want    string
		err     string
	}{
		{"two, one of them twice", []dnsmessage.Resource{rec(70, "B.internal.", 81, 20, 1), rec(60, "a.internal.", 80, 10, 5), rec(60, "A.internal.", 80, 10, 5)},
			"[{a.internal. 80 10 5} {b.internal. 81 20 1}] 1m0s", ""},
		{"none", nil, "[] 0s", "no such host"},
		{"no service", []dnsmessage.Resource{rec(70, ".", 0, 0, 0)}, "[] 0s", "says that there is no such service"},
		{"some invalid hosts", []dnsmessage.Resource{
			rec(70, "a.internal.", 80, 0, 0), rec(70, "not a\nname.", 80, 1, 0), rec(70, "10.0.0.1.", 80, 1, 0), rec(70, "-a.", 80, 1, 0), rec(70, "a-.", 80, 1, 0),
		}, "[{a.internal. 80 0 0}] 1m10s", `lookup _web._tcp.internal: 4 of its SRV records have an invalid host, such as "not a\nname."`},
		{"only invalid hosts", []dnsmessage.Resource{rec(70, "not a name.", 80, 1, 0)}, "[] 0s", "1 of its SRV records have an invalid host"},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(q dnsmessage.Question, _ bool) response {
				if q.Type != dnsmessage.TypeSRV || q.Name.String() != name {
					t.Errorf("asked for %v %v", q.Type, q.Name)
				}
				return response{records: c.records}
			})
			got, err := s.lookUp(question{srv: true, name: name})
			if text := fmt.Sprintf("%v %v", got.services, got.ttl); text != c.want {
				t.Errorf("%s, want %s", text, c.want)
			}
			expectError(t, err, c.err)
		})
	}
}

// A failed lookup of one family, or invalid records, do not remove the valid part of an answer.
func TestPartialAnswer(t *testing.T) {
	before := answer{services: []service{{host: "old."}}}
	if got := (answer{services: []service{{host: "new."}}}).completedBy(before); got.services[0].host != "new." {
		t.Errorf("%+v", got)
	}
	if got := (answer{}).completedBy(before); got.services[0].host != "old." {
		t.Errorf("%+v", got)
	}
}

// A message that does not belong to the question is ignored: it adds no addresses, changes no time to live, is not an
// error, and does not end the wait for the answer.
func TestForgedAnswersAreIgnored(t *testing.T) {
	stranger, err := net.ListenPacket("udp", "127.0.0.1:0") // another port than the server's
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	forged := func(m dnsmessage.Message, change func(m *dnsmessage.Message)) dnsmessage.Message {
		f := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true}}
		f.Questions = []dnsmessage.Question{m.Questions[0]}
		f.Answers = []dnsmessage.Resource{rr(m.Questions[0].Name.String(), 1, a(66))}
		change(&f)
		return f
	}
	for what, change := range map[string]func(m *dnsmessage.Message){
		"another number":            func(m *dnsmessage.Message) { m.ID++ },
		"a question":                func(m *dnsmessage.Message) { m.Response = false },
		"another operation":         func(m *dnsmessage.Message) { m.OpCode = 2 },
		"another name":              func(m *dnsmessage.Message) { m.Questions[0].Name = dnsmessage.MustNewName("web.internal.evil.") },
		"another type":              func(m *dnsmessage.Message) { m.Questions[0].Type = dnsmessage.TypeTXT },
		"another class":             func(m *dnsmessage.Message) { m.Questions[0].Class = dnsmessage.ClassCHAOS },
		"two questions":             func(m *dnsmessage.Message) { m.Questions = append(m.Questions, m.Questions[0]) },
		"no question":               func(m *dnsmessage.Message) { m.Questions = nil },
		"a failure of another name": func(m *dnsmessage.Message) { m.RCode = dnsmessage.RCodeNameError; m.ID += 2 },
		"another sender":            nil,
		"no message":                nil,
	} {
		t.Run(what, func(t *testing.T) {
			s := &server{t: t}
			s.respond = func(q dnsmessage.Question, _ bool) response {
				return type4and6(q, []dnsmessage.Resource{rr(q.Name.String(), 77, a(1))}, nil)
			}
			s.beforeResponse = func(m dnsmessage.Message, from *net.UDPAddr) {
				switch what {
				case "another sender":
					_, _ = stranger.WriteTo(s.pack(forged(m, func(*dnsmessage.Message) {})), from)
				case "no message":
					for _, text := range []string{"", "x", strings.Repeat("\xff", 600)} {
						_, _ = s.udp.WriteToUDP([]byte(text), from)
					}
				default:
					_, _ = s.udp.WriteToUDP(s.pack(forged(m, change)), from)
				}
			}
			s.start()
			c := clientOf(s)
			got, err := c.lookUp(t.Context(), question{name: "web.internal."})
			if err != nil || fmt.Sprint(got.addresses) != "[10.0.0.1]" || got.ttl != 77*time.Second {
				t.Errorf("%+v, %v", got, err)
			}
			if n := s.asked.Load(); n != 2 || len(c.health.unresponsive) != 0 {
				t.Errorf("asked %d times, unresponsive servers: %v", n, c.health.unresponsive)
			}
		})
	}
}

// Two queries have the same ID and port only by chance.
func TestQueriesAreUnpredictable(t *testing.T) {
	seen := map[string]bool{}
	s := &server{t: t}
	s.respond = func(q dnsmessage.Question, _ bool) response { return response{} }
	s.beforeResponse = func(m dnsmessage.Message, from *net.UDPAddr) { seen[fmt.Sprint(m.ID, from.Port)] = true }
	s.start()
	const n = 50
	for range n {
		_, err := s.lookUp(question{name: "web.internal."})
		expectError(t, err, "no such host")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(seen) < 2*n-2 {
		t.Errorf("%d different ones of %d", len(seen), 2*n)
	}
}

func TestTruncatedAnswerIsRetriedOverTCP(t *testing.T) {
	const n = 2000
	s := serve(t, func(q dnsmessage.Question, tcp bool) response {
		switch {
		case q.Type != dnsmessage.TypeA:
			return response{}
		case !tcp:
			return response{truncated: true}
		}
		r := response{}
		for i := range n {
			r.records = append(r.records, rr(q.Name.String(), 20, &dnsmessage.AResource{A: [4]byte{10, 0, byte(i / 250), byte(1 + i%250)}}))
		}
		return r
	})
	got, err := s.lookUp(question{name: "web.internal."})
	if err != nil || len(got.addresses) != n || got.ttl != 20*time.Second || s.askedTCP.Load() != 1 {
		t.Errorf("%d addresses for %v over %d TCP connections, %v", len(got.addresses), got.ttl, s.askedTCP.Load(), err)
	}
}

// The option use-vc of resolv.conf(5): ask over TCP only.
func TestUseVC(t *testing.T) {
	s := serve(t, func(q dnsmessage.Question, tcp bool) response {
		return type4and6(q, []dnsmessage.Resource{rr(q.Name.String(), 77, a(1))}, nil)
	})
	c := clientOf(s)
	conf := c.conf()
	conf.useTCP = true
	c.conf = func() conf_ { return conf }
	if got, err := c.lookUp(t.Context(), question{name: "web.internal"}); err != nil || len(got.addresses) != 1 || s.askedTCP.Load() != s.asked.Load() {
		t.Errorf("%+v, %v; %d of %d over TCP", got, err, s.askedTCP.Load(), s.asked.Load())
	}
}

// conf_ names the type conf where a variable shadows it.
type conf_ = conf

// Names in /etc/hosts, and localhost, are not asked of a server.
func TestLookUpInHosts(t *testing.T) {
	c := clientOf(serve(t, func(dnsmessage.Question, bool) response {
		t.Error("a server was asked")
		return response{}
	}))
	c.hosts = func() hostTable { return parseHosts("10.0.0.7 web.internal\nfd00::7 web.internal\n") }
	for name, want := range map[string]string{
		"web.internal": "[10.0.0.7 fd00::7]", "web.internal.": "[10.0.0.7 fd00::7]", "localhost": "[127.0.0.1 ::1]", "db.localhost.": "[127.0.0.1 ::1]",
	} {
		got, err := c.lookUp(t.Context(), question{name: name})
		if err != nil || fmt.Sprint(got.addresses) != want || got.ttl != defaultTTL {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// The files of this machine can be used.
func TestLookUpOnThisMachine(t *testing.T) {
	got, err := systemClient().lookUp(t.Context(), question{name: "localhost"})
	if err != nil || len(got.addresses) == 0 || !got.addresses[0].IsLoopback() {
		t.Errorf("%+v, %v", got, err)
	}
}

// A name is tried in each search domain of resolv.conf(5), also after one whose server fails.
func TestSearchDomains(t *testing.T) {
	var asked []string
	s := &server{t: t}
	s.respond = func(q dnsmessage.Question, _ bool) response {
		if q.Type != dnsmessage.TypeA {
			return response{}
		}
		asked = append(asked, q.Name.String())
		switch q.Name.String() {
		case "web.fails.":
			return response{code: dnsmessage.RCodeServerFailure}
		case "web.knows.", "web.b.":
			return response{records: []dnsmessage.Resource{rr(q.Name.String(), 5, a(1))}}
		}
		return response{code: dnsmessage.RCodeNameError}
	}
	s.start()
	c := clientOf(s)
	conf := c.conf()
	conf.attempts = 1
	c.conf = func() conf_ { return conf }
	for _, x := range []struct{ search, name, asked, err string }{
		{"no. knows. last.", "web", "web.no. web.knows.", ""},
		{"no. fails. knows.", "web", "web.no. web.fails. web.knows.", ""},
		{"no. fails.", "web", "web.no. web.fails. web.", "lookup web.fails: server " + s.at.String() + ": it cannot answer (SERVFAIL)"},
		{"knows.", "web.b", "web.b.", ""},
		{"knows.", "web.c", "web.c. web.c.knows.", "lookup web.c: no such host"},
		{"knows.", "web.", "web.", "lookup web: no such host"},
		{"knows.", "web.onion", "web.onion.knows.", "no such host"},
	} {
		s.mu.Lock()
		asked = nil
		s.mu.Unlock()
		conf.search = strings.Fields(x.search)
		_, err := c.lookUp(t.Context(), question{name: x.name})
		expectError(t, err, x.err)
		s.mu.Lock()
		got := strings.Join(asked, " ")
		s.mu.Unlock()
		if got != x.asked {
			t.Errorf("%s in %s: asked for %s, want %s", x.name, x.search, got, x.asked)
		}
	}
}

// A server that does not answer, or answers with an error, is skipped for the next one. One that does not answer is asked
// last from then on.
func TestNextServerIsAsked(t *testing.T) {
	good := func(q dnsmessage.Question, _ bool) response {
		return type4and6(q, []dnsmessage.Resource{rr(q.Name.String(), 77, a(1))}, nil)
	}
	refuses := serve(t, func(dnsmessage.Question, bool) response { return response{code: dnsmessage.RCodeRefused} })
	gone := &server{t: t, at: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), 1)}
	works := serve(t, good)
	for what, first := range map[string]*server{"refuses": refuses, "is gone": gone} {
		c := clientOf(first, works)
		got, err := c.lookUp(t.Context(), question{name: "web."})
		if err != nil || len(got.addresses) != 1 {
			t.Errorf("the first %s: %+v, %v", what, got, err)
		}
		if order := c.health.order(c.conf()); (order[0] == works.at) != (first == gone) {
			t.Errorf("the first %s: asked in order %v", what, order)
		}
	}
}

func TestOrderOfServers(t *testing.T) {
	at := func(n byte) netip.AddrPort { return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, n}), 53) }
	c := conf{servers: []netip.AddrPort{at(1), at(2), at(3)}}
	var h serverHealth
	expect := func(want ...byte) {
		t.Helper()
		for i, s := range h.order(c) {
			if s != at(want[i]) {
				t.Errorf("server %d is %v, want %v", i, s, want)
			}
		}
	}
	expect(1, 2, 3)
	for _, err := range []error{&timeoutError{time.Millisecond}, context.Canceled, errMalformed} { // it had no time, or did answer
		h.record(at(1), err)
		expect(1, 2, 3)
	}
	h.record(at(1), &timeoutError{time.Second})
	expect(2, 3, 1)
	h.record(at(2), errors.New("connection refused"))
	h.record(at(3), &timeoutError{time.Second})
	expect(1, 2, 3)
	h.record(at(3), nil)
	expect(3, 1, 2)
	h.unresponsive[at(1)] = time.Now().Add(-time.Second) // its time has come: for one question
	expect(1, 3, 2)
	expect(3, 1, 2)
	c.servers = c.servers[1:] // the first one is forgotten
	expect(3, 2)
	c.servers = append(c.servers, at(1))
	expect(3, 1, 2)
	h = serverHealth{}
	c = conf{servers: []netip.AddrPort{at(1), at(2)}, rotate: true}
	expect(1, 2)
	expect(2, 1)
	expect(1, 2)
}

func TestLookUpEndsWithItsContext(t *testing.T) {
	for _, tcp := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		asked := make(chan struct{}, 8)
		s := &server{t: t}
		s.respond = func(dnsmessage.Question, bool) response { return response{none: true} }
		s.beforeResponse = func(dnsmessage.Message, *net.UDPAddr) { asked <- struct{}{} }
		s.start()
		c := clientOf(s)
		if tcp {
			unresponsive, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer unresponsive.Close()
			go func() {
				for {
					conn, err := unresponsive.Accept()
					if err != nil {
						return
					}
					defer conn.Close()
					asked <- struct{}{}
				}
			}()
			conf := c.conf()
			conf.useTCP, conf.servers = true, []netip.AddrPort{unresponsive.Addr().(*net.TCPAddr).AddrPort()}
			c.conf = func() conf_ { return conf }
		}
		ended := make(chan error)
		go func() {
			_, err := c.lookUp(ctx, question{name: "web.internal."})
			ended <- err
		}()
		<-asked
		cancel()
		if err := testkit.Receive(t, "the lookup ends", ended); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if len(c.health.unresponsive) > 0 {
			t.Error("the cancelled lookup counts against the server")
		}
	}
}

// The error for a server that does not answer says how long the client waited.
func TestServerTimeout(t *testing.T) {
	s := serve(t, func(dnsmessage.Question, bool) response { return response{none: true} })
	c := clientOf(s)
	conf := c.conf()
	conf.timeout, conf.attempts = 10*time.Millisecond, 3
	c.conf = func() conf_ { return conf }
	_, err := c.lookUp(t.Context(), question{name: "web.internal."})
	expectError(t, err, "lookup web.internal: server "+s.at.String()+": no answer within ")
	testkit.Eventually(t, "each family is asked for three times", func() bool { return s.asked.Load() == 6 })
}
