package harness

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/testkit"
)

// A Conn is one end of a connection, TCP or unix, with a deadline. The methods that fail the test (all that return no
// error) belong to the test's own goroutine.
type Conn struct {
	net.Conn
	t testing.TB
}

func newConn(t testing.TB, c net.Conn) *Conn {
	// It fails on a closed connection only, and then the next read says so.
	_ = c.SetDeadline(time.Now().Add(Timeout))
	return &Conn{Conn: c, t: t}
}

// split splits "unix:PATH" or "host:port" into the arguments of net.Dial and net.Listen.
func split(address string) (network, name string) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return "unix", path
	}
	return "tcp", address
}

// CloseWrite ends this direction: the other side reads end of stream.
func (c *Conn) CloseWrite() {
	c.t.Helper()
	if err := c.Finish(); err != nil {
		c.t.Fatal(err)
	}
}

// Finish is CloseWrite for other goroutines.
func (c *Conn) Finish() error {
	return c.Conn.(interface{ CloseWrite() error }).CloseWrite()
}

// Abort closes a TCP connection with a reset.
func (c *Conn) Abort() {
	c.t.Helper()
	if err := c.Break(); err != nil {
		c.t.Fatal(err)
	}
}

// Break is Abort for other goroutines.
func (c *Conn) Break() error {
	return testkit.Reset(c.Conn)
}

// Send writes all of the data.
func (c *Conn) Send(data []byte) {
	c.t.Helper()
	if n, err := c.Write(data); err != nil {
		c.t.Fatalf("send %d bytes: %v after %d", len(data), err, n)
	}
}

// Expect reads as many bytes and compares them.
func (c *Conn) Expect(data []byte) {
	c.t.Helper()
	got := make([]byte, len(data))
	if n, err := io.ReadFull(c, got); err != nil {
		c.t.Fatalf("expect %d bytes: %v after %d", len(data), err, n)
	}
	if !bytes.Equal(got, data) {
		c.t.Fatalf("%d bytes arrived, the first difference is at %d", len(data), difference(got, data))
	}
}

// Exchange sends the data on c and expects it at the other end.
func (c *Conn) Exchange(other *Conn, data []byte) {
	c.t.Helper()
	c.Send(data)
	other.Expect(data)
}

// ExpectEOF checks that the other side has finished in order and sent no byte before that.
func (c *Conn) ExpectEOF() {
	c.t.Helper()
	n, err := c.Read(make([]byte, 1))
	if n != 0 || !errors.Is(err, io.EOF) {
		c.t.Fatalf("read = %d, %v; want EOF", n, err)
	}
}

// ExpectReset reads to the end, which must be a reset.
func (c *Conn) ExpectReset() {
	c.t.Helper()
	n, err := io.Copy(io.Discard, c)
	if !errors.Is(err, syscall.ECONNRESET) {
		c.t.Fatalf("read to the end = %d, %v; want a reset", n, orEOF(err))
	}
}

// AwaitReset waits for a reset without reading. After the other side has finished in order the kernel calls a reset
// EPIPE, and a read still returns EOF: tcp_reset() in net/ipv4/tcp_input.c.
func (c *Conn) AwaitReset() {
	c.t.Helper()
	if err := c.socketError(); !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, unix.EPIPE) {
		c.t.Fatalf("waited for a reset: %v", err)
	}
}

// socketError waits for an error of the socket, and returns it.
func (c *Conn) socketError() error {
	raw, err := c.Conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(Timeout); time.Now().Before(deadline); {
		var found error
		err := raw.Control(func(fd uintptr) {
			// Without any wanted event poll(2) reports POLLERR and POLLHUP alone.
			fds := []unix.PollFd{{Fd: int32(fd)}}
			if _, err := unix.Poll(fds, 100); err != nil && !errors.Is(err, unix.EINTR) {
				found = fmt.Errorf("poll: %w", err)
				return
			}
			if number, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR); err != nil {
				found = fmt.Errorf("SO_ERROR: %w", err)
			} else if number != 0 {
				found = unix.Errno(number)
			}
		})
		if err != nil {
			return err
		}
		if found != nil {
			return found
		}
	}
	return fmt.Errorf("none in %v", Timeout)
}

// stillness is how long a connection must accept no byte to count as full.
const stillness = 300 * time.Millisecond

// Fill writes until every buffer on the way is full. It returns the number of bytes written, and leaves the connection
// usable.
func (c *Conn) Fill(from io.Reader) int64 {
	c.t.Helper()
	var total int64
	chunk := make([]byte, 64<<10)
	for {
		if _, err := io.ReadFull(from, chunk); err != nil {
			c.t.Fatal(err)
		}
		if err := c.SetWriteDeadline(time.Now().Add(stillness)); err != nil {
			c.t.Fatal(err)
		}
		n, err := c.Write(chunk)
		total += int64(n)
		if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
			c.t.Fatalf("fill: %v after %d bytes", err, total)
		}
		if err != nil {
			break
		}
		if total > 256<<20 {
			c.t.Fatalf("%d bytes went in and nobody reads: there is no back-pressure", total)
		}
	}
	if err := c.SetDeadline(time.Now().Add(Timeout)); err != nil {
		c.t.Fatal(err)
	}
	return total
}

// difference returns the index of the first byte that differs.
func difference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

func orEOF(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}
