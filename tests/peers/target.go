package peers

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/pires/go-proxyproto"
	"golang.org/x/sys/unix"

	"tcp-proxy/internal/testkit"
	"tcp-proxy/tests/harness"
)

// Serve is what a target of that address does with a connection: what its greeting says. With told, the connection has
// to begin with a PROXY header, which names the client of the session.
func (l *Ledger) Serve(address string, told bool) func(*harness.Conn) {
	return func(c *harness.Conn) {
		client := ""
		if told {
			var err error
			if client, err = l.header(address, c); err != nil {
				return // noted, or the client was gone before the header was through
			}
		}
		order, number, err := readGreeting(c)
		if err != nil {
			finish(c)
			return
		}
		if order == Play {
			l.play(address, client, number, c)
			return
		}
		obey(order, c)
	}
}

// header reads a header of the PROXY protocol and returns whom it names. A header that names nobody is wrong: the proxy
// knows every client that the targets of tests are told of.
func (l *Ledger) header(address string, c *harness.Conn) (client string, err error) {
	text, err := readHeader(c)
	if err != nil {
		return "", err
	}
	h, err := proxyproto.Read(bufio.NewReaderSize(bytes.NewReader(text), len(text)))
	if err != nil {
		l.Wrong("target %s is sent %q for a PROXY header: %v", address, text, err)
		return "", err
	}
	source, _, ok := h.TCPAddrs()
	if !ok {
		l.Wrong("target %s is sent a PROXY header that names nobody: %q", address, text)
		return "", errors.New("nobody")
	}
	return source.AddrPort().String(), nil
}

// readHeader reads a header and no byte more: a line, or what version 2 gives the length of. Of anything else it returns
// the first bytes.
func readHeader(r io.Reader) ([]byte, error) {
	h := make([]byte, 16, 256)
	if _, err := io.ReadFull(r, h); err != nil {
		return nil, err
	}
	if h[0] == '\r' {
		h = append(h, make([]byte, binary.BigEndian.Uint16(h[14:]))...)
		_, err := io.ReadFull(r, h[16:])
		return h, err
	}
	for one := make([]byte, 1); h[len(h)-1] != '\n' && len(h) < 107; h = append(h, one...) {
		if _, err := io.ReadFull(r, one); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// play is the target's part of a session with a plan.
func (l *Ledger) play(address, client string, number uint64, c *harness.Conn) {
	s := l.session(number)
	if s == nil {
		l.Wrong("a session %d comes to target %s, and there is none", number, address)
		return
	}
	defer close(s.met)
	s.at = address
	if client != "" && client != s.Client {
		s.there.Err = fmt.Errorf("the PROXY header names %s, not %s", client, s.Client)
		return
	}
	if s.Plan.Narrow[Target] {
		narrow(c.Conn)
	}
	if _, err := c.Write(Greeting(Play, number)); err != nil {
		s.there.Err = fmt.Errorf("send the greeting: %w", err)
		return
	}
	s.there = play(c.Conn, &s.Plan, Target, number)
}

// obey does what a greeting says beside Play, and leaves the connection to be closed.
func obey(order Order, c *harness.Conn) {
	switch order {
	case Echo:
		_, _ = io.Copy(c.Conn, c) // until the client has finished, or is gone
	case Sink:
		_, _ = io.Copy(io.Discard, c)
	case Flood:
		for chunk := make([]byte, 16<<10); ; {
			if _, err := c.Write(chunk); err != nil {
				return
			}
		}
	case Hold:
		AwaitEnd(c.Conn)
	}
	finish(c)
}

// finish ends the target's direction, and waits for the end of the other, so that a close is not a reset.
func finish(c *harness.Conn) {
	if err := c.Finish(); err == nil {
		_, _ = io.Copy(io.Discard, c)
	}
}

// narrow makes the receive buffer of a socket small.
func narrow(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(16 << 10) // a closed one fails, and reading then says so
	}
}

// AwaitEnd waits, without reading, until a connection is over both ways, or its peer has reset it; no longer than
// harness.Timeout. It reports whether that came.
func AwaitEnd(c net.Conn) bool {
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return false
	}
	over := false
	testkit.Within(testkit.Timeout, func() bool {
		err = raw.Control(func(fd uintptr) {
			fds := []unix.PollFd{{Fd: int32(fd)}} // without a wanted event: POLLERR and POLLHUP alone
			n, err := unix.Poll(fds, 0)
			over = err == nil && n > 0
		})
		return over || err != nil
	})
	return over
}
