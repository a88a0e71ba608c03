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

// ednsPacketSize is the largest UDP answer that a server may send: one that no link fragments (RFC 6891, section 6.2.5; DNS
// flag day 2020).
const ednsPacketSize = 1232

// maxShownHost is how much of an invalid name an error shows, in bytes.
const maxShownHost = 64

// maxAliases is the maximum length of a chain of CNAME records in one answer.
const maxAliases = 16

// query is a question to one server.
type query struct {
	id       uint16
	question dnsmessage.Question
	noEDNS   bool // without EDNS0 (RFC 6891), for servers that do not implement it
}

// newQuery returns a query with an unpredictable ID. name has a dot at its end.
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

var errNotAName = errors.New("not a valid DNS name")

// pack returns the message after two bytes for its length, which only TCP sends.
func (q query) pack() ([]byte, error) {
	b := dnsmessage.NewBuilder(make([]byte, 2, 512), dnsmessage.Header{ID: q.id, RecursionDesired: true})
	err := errors.Join(b.StartQuestions(), b.Question(q.question))
	if !q.noEDNS {
		var options dnsmessage.ResourceHeader
		err = errors.Join(err, options.SetEDNS0(ednsPacketSize, dnsmessage.RCodeSuccess, false), b.StartAdditionals(),
			b.OPTResource(options, dnsmessage.OPTResource{}))
	}
	message, finishErr := b.Finish()
	return message, errors.Join(err, finishErr)
}

// reply is the answer of a server.
type reply struct {
	code        dnsmessage.RCode
	truncated   bool // the answer does not fit into a UDP packet; the fields below are empty
	referral    bool // the server does not have the answer and does not ask other servers for it
	addresses   []netip.Addr
	services    []service
	ttl         uint32 // the lowest of all records, in seconds
	invalid     int    // the number of SRV records that were left out because their host is not a valid name
	invalidHost string // the host of the first of them, made safe to show
}

var errMalformed = errors.New("its answer is malformed")

// parse parses a message from the server. ours reports whether it has the ID and the question of the query; if not, ignore
// it. The reply has only records of the requested type, of the requested name or of the name that CNAME records in the same
// answer lead to.
func (q query) parse(message []byte) (r reply, ours bool, err error) {
	var p dnsmessage.Parser
	header, err := p.Start(message)
	if err != nil || header.ID != q.id || !header.Response || header.OpCode != 0 {
		return reply{}, false, nil
	}
	r = reply{code: header.RCode, truncated: header.Truncated, ttl: math.MaxUint32}
	asked, err := p.Question()
	if errors.Is(err, dnsmessage.ErrSectionDone) && header.RCode == dnsmessage.RCodeFormatError && !q.noEDNS {
		return r, true, nil // the server did not parse as far as the question
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
	r.referral = found.empty() && header.RCode == dnsmessage.RCodeSuccess && !header.Authoritative && !header.RecursionAvailable
	return r, true, r.follow(found, lower(q.question.Name))
}

func lower(name dnsmessage.Name) string { return strings.ToLower(name.String()) }

// answerSection is the records of an answer, by owner name.
type answerSection struct {
	aliases map[string]alias
	records map[string][]recordData
}

type alias struct {
	to  string
	ttl uint32
}

type recordData struct {
	ip  netip.Addr // of A and AAAA records
	srv dnsmessage.SRVResource
	ttl uint32
}

func (f answerSection) empty() bool { return len(f.aliases)+len(f.records) == 0 }

// readRecords reads the records of one type, and CNAME records. The size of the message bounds their number.
func readRecords(p *dnsmessage.Parser, kind dnsmessage.Type) (answerSection, error) {
	f := answerSection{map[string]alias{}, map[string][]recordData{}}
	for {
		h, err := p.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return f, nil
		}
		if err != nil {
			return answerSection{}, errMalformed
		}
		if h.TTL > math.MaxInt32 { // treated as 0: RFC 2181, section 8
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
			var b recordData
			b, err = readData(p, kind)
			b.ttl = h.TTL
			f.records[name] = append(f.records[name], b)
		}
		if err != nil {
			return answerSection{}, errMalformed
		}
	}
}

func readData(p *dnsmessage.Parser, kind dnsmessage.Type) (b recordData, err error) {
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

// follow takes the records of a name, or those of the name that it is an alias of.
func (r *reply) follow(f answerSection, name string) error {
	for links := 0; len(f.records[name]) == 0; links++ {
		next, ok := f.aliases[name]
		if !ok {
			break
		}
		if links == maxAliases {
			return fmt.Errorf("%w: it leads through more than %d aliases", errMalformed, maxAliases)
		}
		name, r.ttl = next.to, min(r.ttl, next.ttl)
	}
	for _, b := range f.records[name] {
		r.ttl = min(r.ttl, b.ttl)
		if b.ip.IsValid() {
			r.addresses = append(r.addresses, b.ip)
			continue
		}
		host := lower(b.srv.Target)
		if host != "." && !isName(host) {
			if r.invalid++; r.invalid == 1 {
				r.invalidHost = sanitize.Text(host, maxShownHost)
			}
			continue
		}
		r.services = append(r.services, service{host, b.srv.Port, int(b.srv.Priority), int(b.srv.Weight)})
	}
	return nil
}

// isName reports whether text, which has a dot at its end, is a host name by RFC 1035, section 2.3.1, plus the underscore
// of service names, and not an IPv4 address.
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
