package resolve

import (
	"encoding/binary"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// theQuery is the query whose answers FuzzAnswer parses.
func theQuery(kind dnsmessage.Type) query {
	name := "web.internal."
	if kind == dnsmessage.TypeSRV {
		name = "_web._tcp.internal."
	}
	return query{id: 0x1234, question: dnsmessage.Question{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}}
}

var kinds = []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA, dnsmessage.TypeSRV}

// FuzzAnswer: a message is ignored unless it has the ID and the question of the query; the number of records that are kept
// is bounded by its size, and all are of the requested name or of one that its CNAME records lead to.
func FuzzAnswer(f *testing.F) {
	for _, m := range answers() {
		text, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		f.Add(text[:len(text)-1])
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		for _, kind := range kinds {
			q := theQuery(kind)
			r, ours, err := q.parse(message)
			if !ours {
				if err != nil || r.kept() != 0 || r.code != 0 || r.ttl != 0 {
					t.Fatalf("kept %+v, %v of a message that is not the answer", r, err)
				}
				continue
			}
			checkAnswer(t, q, message, r, err)
		}
	})
}

func (r reply) kept() int { return len(r.addresses) + len(r.services) + r.invalid }

func checkAnswer(t *testing.T, q query, message []byte, r reply, err error) {
	if len(message) < 12 || binary.BigEndian.Uint16(message) != q.id || message[2]&0x80 == 0 {
		t.Fatalf("%+v of a message that is no answer", r)
	}
	if r.kept() == 0 {
		return
	}
	if err != nil || r.truncated {
		t.Fatalf("kept %+v with %v", r, err)
	}
	if r.kept() > len(message)/12 { // the least that a record takes
		t.Fatalf("%d records of %d bytes", r.kept(), len(message))
	}
	if len(r.invalidHost) > 5*maxShownHost+40 || strings.ContainsAny(r.invalidHost, "\n\x1b") {
		t.Fatalf("%q", r.invalidHost)
	}
	var m dnsmessage.Message // read by others
	if err := m.Unpack(message); err != nil {
		return // what follows the answers may be wrong
	}
	if len(m.Questions) != 1 || m.Questions[0].Type != q.question.Type || !strings.EqualFold(m.Questions[0].Name.String(), q.question.Name.String()) {
		t.Fatalf("kept %+v of an answer to %v", r, m.Questions)
	}
	names, bodies := map[string]bool{lower(q.question.Name): true}, 0
	for range maxAliases {
		for _, a := range m.Answers {
			if c, ok := a.Body.(*dnsmessage.CNAMEResource); ok && names[lower(a.Header.Name)] {
				names[lower(c.CNAME)] = true
			}
		}
	}
	for _, a := range m.Answers {
		if a.Header.Type == q.question.Type && names[lower(a.Header.Name)] {
			bodies++
			if ttl := a.Header.TTL; ttl < 1<<31 && len(m.Answers) == 1 && r.ttl != ttl {
				t.Fatalf("%d seconds to live, of a record that has %d", r.ttl, ttl)
			}
		}
	}
	if r.kept() > bodies {
		t.Fatalf("kept %+v, and only %d records belong to the question", r, bodies)
	}
}

// answers are valid messages and messages with one fault.
func answers() map[string]dnsmessage.Message {
	all := map[string]dnsmessage.Message{}
	add := func(what string, kind dnsmessage.Type, change func(m *dnsmessage.Message), records ...dnsmessage.Resource) {
		q := theQuery(kind)
		m := dnsmessage.Message{
			Header:    dnsmessage.Header{ID: q.id, Response: true, RecursionAvailable: true},
			Questions: []dnsmessage.Question{q.question},
			Answers:   records,
		}
		if change != nil {
			change(&m)
		}
		all[what] = m
	}
	const web = "web.internal."
	add("address", dnsmessage.TypeA, nil, rr(web, 60, a(1)))
	add("two-addresses", dnsmessage.TypeA, nil, rr(web, 60, a(1)), rr(web, 60, a(2)))
	add("address6", dnsmessage.TypeAAAA, nil, rr(web, 60, aaaa(1)))
	add("alias", dnsmessage.TypeA, nil, rr(web, 60, cname("one.")), rr("one.", 60, a(1)))
	add("circle", dnsmessage.TypeA, nil, rr(web, 60, cname("one.")), rr("one.", 60, cname(web)))
	add("services", dnsmessage.TypeSRV, nil, rr("_web._tcp.internal.", 60, srv("one.", 80, 1, 2)), rr("_web._tcp.internal.", 60, srv("no\x1bname.", 80, 1, 2)))
	add("none", dnsmessage.TypeA, nil)
	add("no-such-name", dnsmessage.TypeA, func(m *dnsmessage.Message) { m.RCode = dnsmessage.RCodeNameError })
	add("truncated", dnsmessage.TypeA, func(m *dnsmessage.Message) { m.Truncated = true }, rr(web, 60, a(1)))
	add("other-number", dnsmessage.TypeA, func(m *dnsmessage.Message) { m.ID++ }, rr(web, 60, a(1)))
	add("no-answer", dnsmessage.TypeA, func(m *dnsmessage.Message) { m.Response = false }, rr(web, 60, a(1)))
	add("no-question", dnsmessage.TypeA, func(m *dnsmessage.Message) { m.Questions = nil; m.RCode = dnsmessage.RCodeFormatError })
	add("other-name", dnsmessage.TypeA, func(m *dnsmessage.Message) { m.Questions[0].Name = dnsmessage.MustNewName("evil.") }, rr(web, 60, a(1)))
	add("other-records", dnsmessage.TypeA, nil, rr("evil.", 60, a(1)), rr(web, 60, aaaa(1)))
	return all
}
