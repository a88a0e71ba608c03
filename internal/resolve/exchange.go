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

// exchange sends a question to one server and waits at most limit for the answer. It retries without EDNS0 if the server
// does not implement that, and over TCP if the answer is truncated. Each attempt has its own socket: the kernel chooses an
// unpredictable port and accepts packets only from the server's address and port (udp(7), connect). Messages that are not
// the answer (query.parse) are ignored.
func exchange(ctx context.Context, server netip.AddrPort, q query, tcp bool, limit time.Duration) (reply, error) {
	began, parent := time.Now(), ctx
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r, err := exchangeOnce(ctx, server, q, tcp)
	if err == nil && !q.noEDNS && (r.code == dnsmessage.RCodeFormatError || r.code == dnsmessage.RCodeNotImplemented) {
		q.noEDNS = true
		r, err = exchangeOnce(ctx, server, q, tcp)
	}
	if err == nil && r.truncated && !tcp {
		r, err = exchangeOnce(ctx, server, q, true)
	}
	switch {
	case err == nil || ctx.Err() == nil:
		return r, err
	case errors.Is(parent.Err(), context.Canceled):
		return reply{}, context.Canceled
	}
	return reply{}, &timeoutError{time.Since(began)}
}

// timeoutError reports that a server did not answer in time.
type timeoutError struct{ waited time.Duration }

func (n *timeoutError) Error() string {
	return fmt.Sprintf("no answer within %v", n.waited.Round(time.Millisecond))
}

func exchangeOnce(ctx context.Context, server netip.AddrPort, q query, tcp bool) (reply, error) {
	network, ask := "udp", askUDP
	if tcp {
		network, ask = "tcp", askTCP
	}
	message, err := q.pack()
	if err != nil {
		return reply{}, err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, server.String())
	if err != nil {
		return reply{}, unwrap(err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	r, err := ask(conn, q, message)
	return r, unwrap(err)
}

// unwrap removes the addresses and the operation that package net adds to an error: the caller names the server.
func unwrap(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// maxPacket is the size of the receive buffer; a server may send at most ednsPacketSize.
const maxPacket = 4096

func askUDP(conn net.Conn, q query, message []byte) (reply, error) {
	if _, err := conn.Write(message[2:]); err != nil {
		return reply{}, err
	}
	packet := make([]byte, maxPacket)
	for {
		n, err := conn.Read(packet)
		if err != nil {
			return reply{}, err
		}
		if r, ours, err := q.parse(packet[:n]); ours {
			return r, err
		}
	}
}

// askTCP asks over TCP, where the length of a message precedes it (RFC 1035, section 4.2.2).
func askTCP(conn net.Conn, q query, message []byte) (reply, error) {
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
		if r, ours, err := q.parse(answer); ours {
			if r.truncated {
				return reply{}, errMalformed // TCP answers are never truncated
			}
			return r, err
		}
	}
}
