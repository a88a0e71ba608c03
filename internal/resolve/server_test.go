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

// A server is a name server at one port, for packets and streams.
type server struct {
	t       *testing.T
	at      netip.AddrPort
	packets *net.UDPConn
	streams net.Listener
	mu      sync.Mutex // is held while these are called, and guards what they write
	says    func(q dnsmessage.Question, stream bool) says
	before  func(m dnsmessage.Message, from *net.UDPAddr) // of each packet's answer; may be nil
	asked   atomic.Int64
	streamy atomic.Int64 // of these, over a stream
}

// says is what a server answers.
type says struct {
	nothing                      bool // no answer at all
	code                         dnsmessage.RCode
	records                      []dnsmessage.Resource
	truncated, stub, withoutEDNS bool
}

// serve starts one.
func serve(t *testing.T, f func(q dnsmessage.Question, stream bool) says) *server {
	t.Helper()
	s := &server{t: t, says: f}
	s.start()
	return s
}

func (s *server) start() {
	for s.packets == nil { // until a port is free for both
		var err error
		if s.streams, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			s.t.Fatal(err)
		}
		s.at = s.streams.Addr().(*net.TCPAddr).AddrPort()
		if s.packets, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(s.at)); err != nil {
			s.streams.Close()
		}
	}
	var all sync.WaitGroup
	all.Go(s.servePackets)
	all.Go(s.serveStreams)
	s.t.Cleanup(func() {
		s.packets.Close()
		s.streams.Close()
		all.Wait()
	})
}

// client asks these servers, and knows no hosts.
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

func (s *server) servePackets() {
	b := make([]byte, 4096)
	for {
		n, from, err := s.packets.ReadFromUDP(b)
		if err != nil {
			return
		}
		m := s.read(b[:n])
		if s.before != nil {
			s.mu.Lock()
			s.before(m, from)
			s.mu.Unlock()
		}
		if text := s.answer(m, false); text != nil {
			_, _ = s.packets.WriteToUDP(text, from)
		}
	}
}

func (s *server) serveStreams() {
	for {
		c, err := s.streams.Accept()
		if err != nil {
			return
		}
		size := make([]byte, 2)
		_, _ = io.ReadFull(c, size)
		query := make([]byte, binary.BigEndian.Uint16(size))
		_, _ = io.ReadFull(c, query)
		s.streamy.Add(1)
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
		s.t.Errorf("a query that is none: %v", err)
	}
	return m
}

// answer answers a query; nil: it does not.
func (s *server) answer(m dnsmessage.Message, stream bool) []byte {
	s.asked.Add(1)
	s.mu.Lock()
	r := s.says(m.Questions[0], stream)
	s.mu.Unlock()
	if r.nothing {
		return nil
	}
	if r.withoutEDNS && len(m.Additionals) > 0 {
		return s.pack(dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RCode: dnsmessage.RCodeFormatError}})
	}
	return s.pack(dnsmessage.Message{
		Header:    dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: !r.stub, RCode: r.code, Truncated: r.truncated},
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

// rr is a resource record of a name.
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
