package resolve

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"

	"tcp-proxy/internal/sanitize"
)

// packetSize is the largest answer that a server is told to send in a packet: what needs no fragments on any link
// (RFC 6891, section 6.2.5; DNS flag day 2020).
const packetSize = 1232

// maxExample is how much of a bad name is shown, in bytes.
const maxExample = 64

// maxAliases is how many CNAME records one answer may lead through.
const maxAliases = 16

// query is one question to one server.
type query struct {
	id       uint16
	question dnsmessage.Question
	plain    bool // without EDNS0 (RFC 6891), for servers that do not know it
}

// newQuery makes one with a number that nobody can guess. name has a dot at its end.
func newQuery(name string, kind dnsmessage.Type) (query, error) {
	if !isName(name) {
		return query{}, errNotAName
	}
	packed, err := dnsmessage.NewName(name)
	if err != nil {
		return query{}, errNotAName
	}
	var id [2]byte
	_, _ = rand.Read(id[:]) // it never fails
	return query{
		id:       binary.BigEndian.Uint16(id[:]),
		question: dnsmessage.Question{Name: packed, Type: kind, Class: dnsmessage.ClassINET},
	}, nil
}

var errNotAName = errors.New("it is not a name that DNS can have")

// pack gives the message after room for its length, which a stream needs.
func (q query) pack() ([]byte, error) {
	b := dnsmessage.NewBuilder(make([]byte, 2, 512), dnsmessage.Header{ID: q.id, RecursionDesired: true})
	err := errors.Join(b.StartQuestions(), b.Question(q.question))
	if !q.plain {
		var options dnsmessage.ResourceHeader
		err = errors.Join(err, options.SetEDNS0(packetSize, dnsmessage.RCodeSuccess, false), b.StartAdditionals(),
			b.OPTResource(options, dnsmessage.OPTResource{}))
	}
	message, finishErr := b.Finish()
	return message, errors.Join(err, finishErr)
}

// reply is what a server answered.
type reply struct {
	code      dnsmessage.RCode
	truncated bool // there is more than fits a packet: nothing of it is here
	referral  bool // the server does not know, and does not ask others
	addresses []netip.Addr
	services  []service
	ttl       uint32 // the least of the records that are here, in seconds
	bad       int    // SRV records that are left out, as their host has no name that can be looked up
	example   string // one of these
}

var errMalformed = errors.New("its answer is malformed")

// read takes a message from the server. It is the answer if it has the number and the question of the query; if ours is
// false nothing of it means anything. Of an answer are kept only records of the type and the name that were asked for, or
// of the name that this one is an alias of by the answer itself.
func (q query) read(message []byte) (r reply, ours bool, err error) {
	var p dnsmessage.Parser
	header, err := p.Start(message)
	if err != nil || header.ID != q.id || !header.Response || header.OpCode != 0 {
		return reply{}, false, nil
	}
	r = reply{code: header.RCode, truncated: header.Truncated, ttl: math.MaxUint32}
	asked, err := p.Question()
	if errors.Is(err, dnsmessage.ErrSectionDone) && header.RCode == dnsmessage.RCodeFormatError && !q.plain {
		return r, true, nil // from a server that did not get as far as the question
	}
	if err != nil || asked.Type != q.question.Type || asked.Class != q.question.Class || lower(asked.Name) != lower(q.question.Name) {
		return reply{}, false, nil
	}
	if _, err := p.Question(); !errors.Is(err, dnsmessage.ErrSectionDone) {
		return reply{}, false, nil
	}
	if r.truncated {
		return r, true, nil
	}
	found, err := readRecords(&p, q.question.Type)
	if err != nil {
		return reply{}, true, err
	}
	r.referral = found.none() && header.RCode == dnsmessage.RCodeSuccess && !header.Authoritative && !header.RecursionAvailable
	return r, true, r.take(found, lower(q.question.Name))
}

func lower(name dnsmessage.Name) string { return strings.ToLower(name.String()) }

// found is the records of an answer by the name that they are of.
type found struct {
	aliases map[string]alias
	bodies  map[string][]body
}

type alias struct {
	to  string
	ttl uint32
}

type body struct {
	ip  netip.Addr // of A and AAAA
	srv dnsmessage.SRVResource
	ttl uint32
}

func (f found) none() bool { return len(f.aliases)+len(f.bodies) == 0 }

// readRecords reads the answers of one type, and aliases. A message bounds how many there are.
func readRecords(p *dnsmessage.Parser, kind dnsmessage.Type) (found, error) {
	f := found{map[string]alias{}, map[string][]body{}}
	for {
		h, err := p.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return f, nil
		}
		if err != nil {
			return found{}, errMalformed
		}
		if h.TTL > math.MaxInt32 { // it means 0: RFC 2181, section 8
			h.TTL = 0
		}
		name := lower(h.Name)
		switch {
		case h.Class != dnsmessage.ClassINET || h.Type != kind && h.Type != dnsmessage.TypeCNAME:
			err = p.SkipAnswer()
		case h.Type == dnsmessage.TypeCNAME:
			var c dnsmessage.CNAMEResource
			c, err = p.CNAMEResource()
			f.aliases[name] = alias{lower(c.CNAME), h.TTL}
		default:
			var b body
			b, err = readBody(p, kind)
			b.ttl = h.TTL
			f.bodies[name] = append(f.bodies[name], b)
		}
		if err != nil {
			return found{}, errMalformed
		}
	}
}

func readBody(p *dnsmessage.Parser, kind dnsmessage.Type) (b body, err error) {
	switch kind {
	case dnsmessage.TypeA:
		var a dnsmessage.AResource
		a, err = p.AResource()
		b.ip = netip.AddrFrom4(a.A)
	case dnsmessage.TypeAAAA:
		var a dnsmessage.AAAAResource
		a, err = p.AAAAResource()
		b.ip = netip.AddrFrom16(a.AAAA).Unmap()
	default:
		b.srv, err = p.SRVResource()
	}
	return b, err
}

// take keeps what is of that name, or of the name that it is an alias of.
func (r *reply) take(f found, name string) error {
	for links := 0; len(f.bodies[name]) == 0; links++ {
		next, ok := f.aliases[name]
		if !ok {
			break
		}
		if links == maxAliases {
			return fmt.Errorf("%w: it leads through more than %d aliases", errMalformed, maxAliases)
		}
		name, r.ttl = next.to, min(r.ttl, next.ttl)
	}
	for _, b := range f.bodies[name] {
		r.ttl = min(r.ttl, b.ttl)
		if b.ip.IsValid() {
			r.addresses = append(r.addresses, b.ip)
			continue
		}
		host := lower(b.srv.Target)
		if host != "." && !isName(host) {
			if r.bad++; r.bad == 1 {
				r.example = sanitize.Text(host, maxExample)
			}
			continue
		}
		r.services = append(r.services, service{host, b.srv.Port, int(b.srv.Priority), int(b.srv.Weight)})
	}
	return nil
}

// isName reports whether text, which has a dot at its end, is a name of labels as RFC 1035, section 2.3.1, has them, with
// the underscore that names of services begin with, and no IPv4 address.
func isName(text string) bool {
	text, rooted := strings.CutSuffix(text, ".")
	if !rooted || len(text)+1 > maxName || strings.Trim(text, digits+".") == "" {
		return false
	}
	for label := range strings.SplitSeq(text, ".") {
		if len(label) == 0 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.ContainsFunc(label, func(r rune) bool { return !strings.ContainsRune(labelCharacters, r) }) {
			return false
		}
	}
	return true
}

const (
	digits          = "0123456789"
	labelCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_" + digits
)
