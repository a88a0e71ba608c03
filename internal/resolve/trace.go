package resolve

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// trace reads along what servers answer in the course of one lookup: package net keeps to itself for how long an answer
// counts, and which half of it is missing.
type trace struct {
	ctx  context.Context // of the lookup
	dial dialFunc
	open sync.WaitGroup // connections

	mu   sync.Mutex                   // guards what follows
	over bool                         // there are to be no more connections
	ends uint32                       // the shortest time to live of an answer's records, in seconds
	any  bool                         // there was one
	said map[dnsmessage.Question]bool // the questions that were answered, and whether with addresses
}

// connect is the Dial of a net.Resolver, which tells packets from a stream by the type of the connection.
func (t *trace) connect(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := t.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	closed, err := t.adopt(conn)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if packets, ok := conn.(*net.UDPConn); ok {
		return &packetConn{UDPConn: packets, trace: t, closed: closed}, nil
	}
	return &streamConn{Conn: conn, trace: t, closed: closed}, nil
}

// adopt has the connection closed when the context is done: package net lets it wait for its answer even then. What it
// returns is to be called when it has been closed.
func (t *trace) adopt(conn net.Conn) (closed func(), err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return nil, net.ErrClosed
	}
	t.open.Add(1)
	stop := context.AfterFunc(t.ctx, func() { conn.Close() })
	return sync.OnceFunc(func() { stop(); t.open.Done() }), nil
}

// end waits for what is still open, once the context is done.
func (t *trace) end() {
	t.mu.Lock()
	t.over = true
	t.mu.Unlock()
	t.open.Wait()
}

// ttl is how long the answer counts.
func (t *trace) ttl() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.any {
		return defaultTTL
	}
	return time.Duration(t.ends) * time.Second
}

// unheard is the family that was asked for without an answer, while a server gave addresses of the other.
func (t *trace) unheard() family {
	t.mu.Lock()
	defer t.mu.Unlock()
	for q, addresses := range t.said {
		other, family := dnsmessage.TypeAAAA, ipv6
		if q.Type == dnsmessage.TypeAAAA {
			other, family = dnsmessage.TypeA, ipv4
		}
		if _, ok := t.said[dnsmessage.Question{Name: q.Name, Type: other, Class: q.Class}]; addresses && !ok {
			return family
		}
	}
	return 0
}

// hear takes a message that came in answer to the query of that number.
func (t *trace) hear(query uint16, message []byte) {
	var p dnsmessage.Parser
	header, err := p.Start(message)
	if err != nil || !header.Response || header.ID != query || header.Truncated {
		return
	}
	asked, err := p.Question()
	if err != nil || p.SkipAllQuestions() != nil {
		return
	}
	if header.RCode != dnsmessage.RCodeSuccess && header.RCode != dnsmessage.RCodeNameError {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	addresses := false
	for {
		r, err := p.AnswerHeader()
		if err != nil {
			break
		}
		if !t.any || r.TTL < t.ends {
			t.ends, t.any = r.TTL, true
		}
		addresses = addresses || r.Type == dnsmessage.TypeA || r.Type == dnsmessage.TypeAAAA
		if p.SkipAnswer() != nil {
			break
		}
	}
	if t.said == nil {
		t.said = map[dnsmessage.Question]bool{}
	}
	t.said[asked] = addresses
}

// packetConn has a message in each Read.
type packetConn struct {
	*net.UDPConn
	trace  *trace
	query  uint16
	closed func()
}

func (c *packetConn) Close() error {
	defer c.closed()
	return c.UDPConn.Close()
}

func (c *packetConn) Write(b []byte) (int, error) {
	c.query = number(b)
	return c.UDPConn.Write(b)
}

func (c *packetConn) Read(b []byte) (int, error) {
	n, err := c.UDPConn.Read(b)
	if err == nil {
		c.trace.hear(c.query, b[:n])
	}
	return n, err
}

// streamConn has one query, and its answer in any number of Reads, each with its length before it.
type streamConn struct {
	net.Conn
	trace  *trace
	query  uint16
	read   []byte
	closed func()
}

func (c *streamConn) Close() error {
	defer c.closed()
	return c.Conn.Close()
}

func (c *streamConn) Write(b []byte) (int, error) {
	if len(b) > 2 {
		c.query = number(b[2:])
	}
	return c.Conn.Write(b)
}

func (c *streamConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.read = append(c.read, b[:n]...)
	if len(c.read) >= 2 && len(c.read) == 2+int(binary.BigEndian.Uint16(c.read)) {
		c.trace.hear(c.query, c.read[2:])
	}
	return n, err
}

// number is the identifier of a message.
func number(message []byte) uint16 {
	if len(message) < 2 {
		return 0
	}
	return binary.BigEndian.Uint16(message)
}
