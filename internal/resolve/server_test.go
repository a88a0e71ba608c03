package resolve

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"tcp-proxy/internal/testkit"
)

// A server is a DNS server on one port, over UDP and TCP.
type server struct {
	t              *testing.T
	at             netip.AddrPort
	udp            *net.UDPConn
	listener       net.Listener
	mu             sync.Mutex // held while the functions below are called
	respond        func(q dnsmessage.Question, tcp bool) response
	beforeResponse func(m dnsmessage.Message, from *net.UDPAddr) // called before each response over UDP; may be nil
	asked          atomic.Int64
	askedTCP       atomic.Int64 // those of them that came over TCP
}

// response is what a server answers.
type response struct {
	none                            bool // do not answer
	code                            dnsmessage.RCode
	records                         []dnsmessage.Resource
	truncated, nonRecursive, noEDNS bool
}

// serve starts a server.
func serve(t *testing.T, f func(q dnsmessage.Question, tcp bool) response) *server {
	t.Helper()
	s := &server{t: t, respond: f}
	s.start()
	return s
}

func (s *server) start() {
	for s.udp == nil { // until the same port is free for UDP and TCP
		var err error
		if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			s.t.Fatal(err)
		}
		s.at = s.listener.Addr().(*net.TCPAddr).AddrPort()
		if s.udp, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(s.at)); err != nil {
			s.listener.Close()
		}
	}
	var all sync.WaitGroup
	all.Go(s.serveUDP)
	all.Go(s.serveTCP)
	s.t.Cleanup(func() {
		s.udp.Close()
		s.listener.Close()
		all.Wait()
	})
}

// clientOf returns a client that asks these servers, and has no hosts file.
func clientOf(servers ...*server) *client {
	c := conf{ndots: 1, timeout: testkit.Timeout, attempts: 2}
	for _, s := range servers {
		c.servers = append(c.servers, s.at)
	}
	return &client{hosts: func() hostTable { return nil }, conf: func() conf { return c }}
}

func (s *server) lookUp(q question) (answer, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), testkit.Timeout)
	defer cancel()
	return clientOf(s).lookUp(ctx, q)
}

func (s *server) serveUDP() {
	b := make([]byte, 4096)
	for {
		n, from, err := s.udp.ReadFromUDP(b)
		if err != nil {
			return
		}
		m := s.read(b[:n])
		if s.beforeResponse != nil {
			s.mu.Lock()
			s.beforeResponse(m, from)
			s.mu.Unlock()
		}
		if text := s.answer(m, false); text != nil {
			_, _ = s.udp.WriteToUDP(text, from)
		}
	}
}

func (s *server) serveTCP() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		size := make([]byte, 2)
		_, _ = io.ReadFull(c, size)
		query := make([]byte, binary.BigEndian.Uint16(size))
		_, _ = io.ReadFull(c, query)
		s.askedTCP.Add(1)
		text := s.answer(s.read(query), true)
		text = append(binary.BigEndian.AppendUint16(nil, uint16(len(text))), text...)
		for i := 0; i < len(text); i += 100 { // in parts
			_, _ = c.Write(text[i:min(i+100, len(text))])
		}
		c.Close()
	}
}

func (s *server) read(query []byte) (m dnsmessage.Message) {
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		s.t.Errorf("not a query: %v", err)
	}
	return m
}

// answer returns the answer to a query; nil: none is sent.
func (s *server) answer(m dnsmessage.Message, tcp bool) []byte {
	s.asked.Add(1)
	s.mu.Lock()
	r := s.respond(m.Questions[0], tcp)
	s.mu.Unlock()
	if r.none {
		return nil
	}
	if r.noEDNS && len(m.Additionals) > 0 {
		return s.pack(dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RCode: dnsmessage.RCodeFormatError}})
	}
	return s.pack(dnsmessage.Message{
		Header:    dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: !r.nonRecursive, RCode: r.code, Truncated: r.truncated},
		Questions: m.Questions,
		Answers:   r.records,
	})
}

func (s *server) pack(m dnsmessage.Message) []byte {
	text, err := m.Pack()
	if err != nil {
		s.t.Error(err)
	}
	return text
}

// rr returns a resource record.
func rr(name string, ttl uint32, body dnsmessage.ResourceBody) dnsmessage.Resource {
	return dnsmessage.Resource{
		Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Class: dnsmessage.ClassINET, TTL: ttl},
		Body:   body,
	}
}

func a(n byte) *dnsmessage.AResource { return &dnsmessage.AResource{A: [4]byte{10, 0, 0, n}} }

func aaaa(n byte) *dnsmessage.AAAAResource {
	return &dnsmessage.AAAAResource{AAAA: [16]byte{0: 0xfd, 15: n}}
}

func cname(to string) *dnsmessage.CNAMEResource {
	return &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(to)}
}

func srv(target string, port, priority, weight uint16) *dnsmessage.SRVResource {
	return &dnsmessage.SRVResource{Target: dnsmessage.MustNewName(target), Port: port, Priority: priority, Weight: weight}
}
