package peers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"tcp-proxy/internal/testkit"
	"tcp-proxy/tests/harness"
)

// A Side is what one side of a session has seen.
type Side struct {
	Sent, Received int64 // bytes that the kernel took, and that were read, without the greeting
	Reset          bool  // the other side's reset came
	Err            error // what should not have been: nil if nothing
}

// player plays one side of a plan on a connection after the greeting.
type player struct {
	conn net.Conn
	plan *Plan
	side int
	seed uint64

	mu       sync.Mutex // guards what follows
	moved    sync.Cond  // received has grown, or the reader has ended
	received int64
	ended    bool
	readErr  error // io.EOF is the end
}

// play does what the plan has for the side, and closes the connection.
func play(conn net.Conn, plan *Plan, side int, seed uint64) Side {
	p := &player{conn: conn, plan: plan, side: side, seed: seed}
	p.moved.L = &p.mu
	var reader sync.WaitGroup
	reader.Go(p.read)
	sent, err := p.write()
	if err == nil && plan.Reset == side {
		abort(conn)
		reader.Wait()
		return Side{Sent: sent, Received: p.received, Err: p.wrong()}
	}
	if err == nil {
		err = conn.(interface{ CloseWrite() error }).CloseWrite()
	}
	reader.Wait()
	conn.Close()
	return p.judge(sent, err)
}

// judge says whether the session has ended as the plan wants it. The kernel tells of a reset once: to whom of the two
// that read and write asks first; the other finds the end of the stream (tcp_recvmsg_locked() in net/ipv4/tcp.c).
func (p *player) judge(sent int64, writeErr error) Side {
	s := Side{Sent: sent, Received: p.received, Reset: isReset(writeErr) || isReset(p.readErr)}
	switch other := 1 - p.side; {
	case p.wrong() != nil:
		s.Err = p.wrong()
	case s.Reset && p.plan.Reset == other:
	case writeErr != nil:
		s.Err = fmt.Errorf("after %d of %d bytes: %w", sent, p.plan.Bytes(p.side), writeErr)
	case !errors.Is(p.readErr, io.EOF):
		s.Err = fmt.Errorf("after %d of %d bytes that come: %w", p.received, p.plan.Bytes(other), p.readErr)
	case p.plan.Reset == other && isTCP(p.conn):
		s.Err = fmt.Errorf("the other side has reset the connection, and after %d of %d bytes here is a clean end", p.received, p.plan.Bytes(other))
	case p.received < p.plan.Bytes(other) && isTCP(p.conn):
		s.Err = fmt.Errorf("a clean end after %d of %d bytes", p.received, p.plan.Bytes(other))
	}
	return s
}

// errWrong is the error for bytes that the other side did not send.
var errWrong = errors.New("wrong bytes")

// IsWrong reports whether an error is about wrong bytes, which must never happen, and not about how a session ended.
func IsWrong(err error) bool { return errors.Is(err, errWrong) }

func (p *player) wrong() error {
	if errors.Is(p.readErr, errWrong) {
		return p.readErr
	}
	return nil
}

// read reads to the end and compares all that comes with what the other side sends.
func (p *player) read() {
	if stall := p.plan.Stall[p.side]; stall > 0 {
		time.Sleep(stall) // not reading is what the plan wants
	}
	total := p.plan.Bytes(1 - p.side)
	pattern := harness.NewPattern(p.seed<<1 | uint64(1-p.side))
	buffer := make([]byte, p.plan.Read[p.side])
	want := make([]byte, len(buffer))
	for {
		n, err := p.conn.Read(buffer)
		pattern.Read(want[:n])
		p.mu.Lock()
		switch {
		case !bytes.Equal(buffer[:n], want[:n]):
			err = fmt.Errorf("%w, of %d that come behind the first %d", errWrong, n, p.received)
		case p.received+int64(n) > total:
			err = fmt.Errorf("%w: more than the %d that were sent", errWrong, total)
		}
		p.received += int64(n)
		p.readErr, p.ended = err, err != nil
		p.moved.Broadcast()
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// write sends the side's turns, each when it is time, and waits for the other's end if it has to finish last.
func (p *player) write() (sent int64, err error) {
	pattern := harness.NewPattern(p.seed<<1 | uint64(p.side))
	chunks := p.plan.Write[p.side]
	buffer := make([]byte, 64<<10)
	theirs, writes := int64(0), 0
	for _, turn := range p.plan.Turns {
		if turn.From != p.side {
			theirs += turn.Bytes
			continue
		}
		if turn.Wait && !p.await(theirs) {
			return sent, nil // the reader tells why
		}
		for left := turn.Bytes; left > 0; {
			chunk := buffer[:min(left, int64(chunks[writes%len(chunks)]))]
			writes++
			pattern.Read(chunk)
			n, err := p.conn.Write(chunk)
			sent += int64(n)
			left -= int64(n)
			if err != nil {
				return sent, err
			}
			if p.plan.Pause > 0 {
				time.Sleep(p.plan.Pause) // being slow is what the plan wants
			}
		}
	}
	if p.plan.Last == p.side && p.plan.Reset == Nobody {
		p.await(p.plan.Bytes(1-p.side) + 1) // never: the end comes first
	}
	return sent, nil
}

// await waits until so many bytes have come, or reports false when no more will.
func (p *player) await(n int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.received < n && !p.ended {
		p.moved.Wait()
	}
	return p.received >= n
}

// abort closes a connection with a reset, where there is such a thing.
func abort(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = testkit.Reset(tcp) // it fails on a closed one only
		return
	}
	c.Close()
}

func isTCP(c net.Conn) bool {
	_, ok := c.(*net.TCPConn)
	return ok
}

// isReset reports whether an error is caused by a reset of the other side.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
