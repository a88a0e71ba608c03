package enginetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/testkit"
)

// stream is what *net.TCPConn and *net.UnixConn have in common.
type stream interface {
	net.Conn
	syscall.Conn
	CloseWrite() error
}

// pattern is the bytes of a seed.
func pattern(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

// send writes n bytes of the pattern of a seed, so many at a time.
func send(to io.Writer, seed byte, n, each int) error {
	p, chunk := pattern(seed), make([]byte, each)
	for n > 0 {
		part := chunk[:min(n, each)]
		p.Read(part)
		if _, err := to.Write(part); err != nil {
			return err
		}
		n -= len(part)
	}
	return nil
}

// receive reads n bytes and wants them to be that pattern.
func receive(from io.Reader, seed byte, n int) error {
	p, got, want := pattern(seed), make([]byte, 32<<10), make([]byte, 32<<10)
	for done := 0; done < n; {
		part := min(n-done, len(got))
		if _, err := io.ReadFull(from, got[:part]); err != nil {
			return err
		}
		p.Read(want[:part])
		if !bytes.Equal(got[:part], want[:part]) {
			return fmt.Errorf("other bytes than were sent, after %d", done)
		}
		done += part
	}
	return nil
}

// exchange sends from one end and expects the same at the other.
func (r *rig) exchange(from, to stream, n int) {
	r.Helper()
	if err := both(func() error { return send(from, 1, n, 4096) }, func() error { return receive(to, 1, n) }); err != nil {
		r.Fatal(err)
	}
}

// both runs two things side by side.
func both(a, b func() error) error {
	var other error
	var done sync.WaitGroup
	done.Go(func() { other = b() })
	err := a()
	done.Wait()
	return errors.Join(err, other)
}

// fill writes until nothing more goes in, and returns how much did.
func fill(t *testing.T, to stream) int {
	t.Helper()
	total, zeros := 0, make([]byte, 64<<10)
	for {
		to.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		n, err := to.Write(zeros)
		total += n
		if errors.Is(err, os.ErrDeadlineExceeded) {
			to.SetDeadline(time.Now().Add(testkit.Timeout))
			return total
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (r *rig) expectEOF(c stream) {
	r.Helper()
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		r.Fatalf("read = %d, %v; want EOF", n, err)
	}
}

// expectReset wants a reset, after whatever comes; a unix socket knows none, and is closed.
func (r *rig) expectReset(c stream) {
	r.Helper()
	n, err := io.Copy(io.Discard, c)
	if _, ok := c.(*net.UnixConn); ok && err == nil {
		return
	}
	if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		r.Fatalf("read = %d, %v; want a reset", n, err)
	}
}

// refused wants a client to be reset, which may be as early as in its connect.
func (r *rig) refused() {
	r.Helper()
	c, err := net.Dial(r.port.Listener.Addr().Network(), r.port.Listener.Addr().String())
	if err == nil {
		r.expectReset(r.adopt(c))
	} else if !errors.Is(err, syscall.ECONNRESET) {
		r.Fatal(err)
	}
}

// inQueue is how many bytes a connection has received that nobody has read.
func inQueue(c stream) (n int) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1
	}
	raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCINQ) })
	return n
}

// addrPort is a TCP address; that of a unix socket is not valid.
func addrPort(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort()
	}
	return netip.AddrPort{}
}
