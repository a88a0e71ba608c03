package probe

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
)

// bufferSize is how much is read at once.
const bufferSize = 4 << 10

// ready goes on with a check that has had an event.
func (c *check) ready(p *Prober) {
	switch c.phase {
	case connecting:
		p.answered(c)
	case sending:
		p.send(c)
	case reading:
		p.receive(c)
	}
}

// send sends what is left to send.
func (p *Prober) send(c *check) {
	p.buffer = c.appendRequest(append(p.buffer[:0], c.group.header...))
	for c.sent < len(p.buffer) {
		n, errno := linux.Write(c.fd, p.buffer[c.sent:])
		if errno == unix.EAGAIN {
			return
		}
		if errno != 0 {
			p.broken(c, "send", errno)
			return
		}
		c.sent += n
	}
	if !c.group.reads() {
		p.conclude(c, nil)
		return
	}
	c.phase = reading
	p.receive(c)
}

func (c *check) appendRequest(to []byte) []byte {
	if c.group.isHTTP() {
		return c.appendGet(to)
	}
	return append(to, c.group.config.Send...)
}

// receive reads until the answer can be judged.
func (p *Prober) receive(c *check) {
	p.buffer = p.buffer[:cap(p.buffer)]
	for {
		n, errno := linux.Read(c.fd, p.buffer)
		switch {
		case errno == unix.EAGAIN:
			return
		case errno != 0:
			p.broken(c, "read", errno)
			return
		case n == 0:
			p.conclude(c, c.cutShort())
			return
		}
		if known, err := c.parse(p.buffer[:n]); known {
			p.conclude(c, err)
			return
		}
	}
}

// errReset is what is wrong with a target that accepts a connection and then does not want it.
var errReset = errors.New("connected, but reset by the target")

func isReset(errno syscall.Errno) bool { return errno == unix.ECONNRESET || errno == unix.EPIPE }

// broken ends a check whose connection has an error.
func (p *Prober) broken(c *check, call string, errno syscall.Errno) {
	if isReset(errno) {
		p.verdict(c, errReset)
		return
	}
	p.failed(c, os.NewSyscallError(call, errno))
}

// parse takes the next part of the answer. Once it is known what the answer is, err says what is wrong with it.
func (c *check) parse(part []byte) (known bool, err error) {
	before := c.read
	c.read += len(part)
	if before < len(c.begin) {
		copy(c.begin[before:], part)
	}
	if c.group.isHTTP() {
		return c.parseStatus()
	}
	want := c.group.config.Expect
	for i := range min(len(part), len(want)-before) {
		if part[i] != want[before+i] {
			return true, c.unexpected(before + i)
		}
	}
	return c.read >= len(want), nil
}

// unexpected says that the answer is not what was expected, from byte at on.
func (c *check) unexpected(at int) error {
	if at >= quoted {
		return fmt.Errorf("the answer begins as expected, and differs from byte %d on", at+1)
	}
	return fmt.Errorf("the answer begins with %s, not with %s", c.said(), quote(c.group.config.Expect))
}

// cutShort says that the other end closed before its answer was complete.
func (c *check) cutShort() error {
	if c.read == 0 {
		return errors.New("connected, but closed by the target without an answer")
	}
	return fmt.Errorf("closed by the target after %s, which is not the whole answer", c.said())
}

// said is how the answer begins.
func (c *check) said() string { return quote(string(c.begin[:min(c.read, len(c.begin))])) }

// quoted is how much of a text an error quotes.
const quoted = 40

// quote quotes the begin of a text.
func quote(s string) string {
	if len(s) > quoted {
		return strconv.Quote(s[:quoted]) + "…"
	}
	return strconv.Quote(s)
}
