package resolve

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// exchange asks one server one question and waits for the answer, at most for limit. Each question has a socket of its
// own: the kernel picks a port that nobody can guess, and lets in nothing but what comes from the server's address and
// port (udp(7), connect). What is not the answer is passed over (query.read), and the wait goes on.
func exchange(ctx context.Context, server netip.AddrPort, q query, stream bool, limit time.Duration) (reply, error) {
	began, whole := time.Now(), ctx
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r, err := exchangeOver(ctx, server, q, stream)
	if err == nil && !q.plain && (r.code == dnsmessage.RCodeFormatError || r.code == dnsmessage.RCodeNotImplemented) {
		q.plain = true
		r, err = exchangeOver(ctx, server, q, stream)
	}
	if err == nil && r.truncated && !stream {
		r, err = exchangeOver(ctx, server, q, true)
	}
	switch {
	case err == nil || ctx.Err() == nil:
		return r, err
	case errors.Is(whole.Err(), context.Canceled):
		return reply{}, context.Canceled
	}
	return reply{}, &noAnswer{time.Since(began)}
}

// noAnswer is the error of a server that did not answer as long as one waited.
type noAnswer struct{ waited time.Duration }

func (n *noAnswer) Error() string {
	return fmt.Sprintf("no answer within %v", n.waited.Round(time.Millisecond))
}

func exchangeOver(ctx context.Context, server netip.AddrPort, q query, stream bool) (reply, error) {
	network, ask := "udp", askByPacket
	if stream {
		network, ask = "tcp", askByStream
	}
	message, err := q.pack()
	if err != nil {
		return reply{}, err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, server.String())
	if err != nil {
		return reply{}, unwrapped(err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	r, err := ask(conn, q, message)
	return r, unwrapped(err)
}

// unwrapped is the error without the addresses and the operation that package net puts around it: whom one asked is told
// once.
func unwrapped(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// largestPacket is more than a server may send.
const largestPacket = 4096

func askByPacket(conn net.Conn, q query, message []byte) (reply, error) {
	if _, err := conn.Write(message[2:]); err != nil {
		return reply{}, err
	}
	packet := make([]byte, largestPacket)
	for {
		n, err := conn.Read(packet)
		if err != nil {
			return reply{}, err
		}
		if r, ours, err := q.read(packet[:n]); ours {
			return r, err
		}
	}
}

// askByStream asks over TCP, where a message has its length before it (RFC 1035, section 4.2.2).
func askByStream(conn net.Conn, q query, message []byte) (reply, error) {
	binary.BigEndian.PutUint16(message, uint16(len(message)-2))
	if _, err := conn.Write(message); err != nil {
		return reply{}, err
	}
	var size [2]byte
	for {
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return reply{}, err
		}
		answer := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, answer); err != nil {
			return reply{}, err
		}
		if r, ours, err := q.read(answer); ours {
			if r.truncated {
				return reply{}, errMalformed // a stream has room for everything
			}
			return r, err
		}
	}
}
