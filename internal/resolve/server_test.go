package resolve

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// A server is a name server at one port, for packets and streams.
type server struct {
	t       *testing.T
	packets *net.UDPConn
	streams net.Listener
	reply   func(q dnsmessage.Question, stream bool) reply
	asked   atomic.Int64
	streamy atomic.Int64 // of these, over a stream
	spoof   atomic.Bool  // every answer has one before it that belongs to another query
}

// reply is what a server answers.
type reply struct {
	code      dnsmessage.RCode
	records   []dnsmessage.Resource
	truncated bool
}

func serve(t *testing.T, f func(q dnsmessage.Question, stream bool) reply) *server {
	t.Helper()
	s := &server{t: t, reply: f}
	for s.packets == nil { // until a port is free for both
		var err error
		if s.streams, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		at := s.streams.Addr().(*net.TCPAddr).AddrPort()
		if s.packets, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at)); err != nil {
			s.streams.Close()
		}
	}
	var all sync.WaitGroup
	all.Go(s.servePackets)
	all.Go(s.serveStreams)
	t.Cleanup(func() {
		s.packets.Close()
		s.streams.Close()
		all.Wait()
	})
	return s
}

// dial has every server of the machine be this one.
func (s *server) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, s.streams.Addr().String())
}

func (s *server) lookUp(q question) (answer, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	return lookUpWith(ctx, q, s.dial)
}

func (s *server) servePackets() {
	b := make([]byte, 4096)
	for {
		n, from, err := s.packets.ReadFromUDP(b)
		if err != nil {
			return
		}
		if s.spoof.Load() {
			_, _ = s.packets.WriteToUDP(s.answer(b[:n], false, 1, 1), from)
		}
		_, _ = s.packets.WriteToUDP(s.answer(b[:n], false, 0, 0), from)
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
		text := s.answer(query, true, 0, 0)
		text = append(binary.BigEndian.AppendUint16(nil, uint16(len(text))), text...)
		for i := 0; i < len(text); i += 100 { // in parts
			_, _ = c.Write(text[i:min(i+100, len(text))])
		}
		c.Close()
	}
}

// answer answers a query, with another number and other times to live if told to.
func (s *server) answer(query []byte, stream bool, off uint16, ttl uint32) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		s.t.Errorf("a query that is none: %v", err)
		return nil
	}
	s.asked.Add(1)
	r := s.reply(m.Questions[0], stream)
	a := dnsmessage.Message{
		Header: dnsmessage.Header{
			ID: m.ID + off, Response: true, RecursionAvailable: true, RCode: r.code, Truncated: r.truncated,
		},
		Questions: m.Questions,
		Answers:   r.records,
	}
	if off != 0 {
		for i := range a.Answers {
			a.Answers[i].Header.TTL = ttl
		}
	}
	text, err := a.Pack()
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
