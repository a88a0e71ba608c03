package main

import (
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// What the target server does with each connection.
const (
	serveEcho   = "echo"   // reads Size bytes, then writes them back, and again
	serveSource = "source" // writes for as long as the peer reads
	serveSink   = "sink"   // reads for as long as the peer writes
)

// targetOrder tells a target server what to do. It is its only argument, as JSON.
type targetOrder struct {
	Serve  string
	Size   int // of a request, in bytes; for serveEcho
	Listen []netip.AddrPort
}

// bulkChunk is the most that the generators move in one system call.
const bulkChunk = 256 << 10

// targetConn is one connection of the echo target: have bytes of the request are in buf, or, once it is whole, the
// first sent bytes of it were written back.
type targetConn struct {
	buf        []byte
	have, sent int
}

// target is the server behind the proxies: one thread, one epoll loop.
type target struct {
	order     targetOrder
	poll      *poller
	listeners map[int]bool
	conns     []*targetConn // by descriptor; nil: never used. Kept for the next connection with that number
	chunk     []byte
}

// runTarget serves until its standard input ends, and says "ready" when all addresses listen.
func runTarget(order targetOrder) error {
	poll, err := newPoller()
	if err != nil {
		return err
	}
	t := &target{order: order, poll: poll, listeners: map[int]bool{}, chunk: make([]byte, bulkChunk)}
	for i := range t.chunk {
		t.chunk[i] = byte(i * 31)
	}
	for _, addr := range order.Listen {
		fd, err := listenTCP(addr)
		if err != nil {
			return err
		}
		if err := poll.add(fd, unix.EPOLLIN); err != nil {
			return err
		}
		t.listeners[fd] = true
	}
	if err := poll.add(0, unix.EPOLLIN); err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, "ready")
	for {
		events, err := poll.wait(-1)
		if err != nil {
			return err
		}
		for _, ev := range events {
			fd := int(ev.Fd)
			switch {
			case fd == 0:
				return nil
			case t.listeners[fd]:
				t.accept(fd)
			default:
				t.serve(fd, ev.Events)
			}
		}
	}
}

func (t *target) accept(listener int) {
	for {
		fd, _, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		for fd >= len(t.conns) {
			t.conns = append(t.conns, nil)
		}
		var events uint32
		switch t.order.Serve {
		case serveEcho:
			if t.conns[fd] == nil {
				t.conns[fd] = &targetConn{buf: make([]byte, t.order.Size)}
			}
			t.conns[fd].have, t.conns[fd].sent = 0, 0
			events = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET
		case serveSource:
			events = unix.EPOLLOUT
		case serveSink:
			events = unix.EPOLLIN
		}
		if t.poll.add(fd, events) != nil {
			rawClose(fd)
		}
	}
}

func (t *target) serve(fd int, events uint32) {
	alive := true
	switch t.order.Serve {
	case serveEcho:
		alive = t.echo(fd, t.conns[fd], events)
	case serveSource:
		_, errno := rawWrite(fd, t.chunk)
		alive = errno == 0 || errno == unix.EAGAIN
	case serveSink:
		n, errno := rawDiscard(fd, t.chunk)
		alive = errno == unix.EAGAIN || errno == 0 && n > 0
	}
	if !alive {
		rawClose(fd)
	}
}

// echo does all that can be done without blocking and reports whether the connection lives on. A short read or write
// ends the turn: with edge triggering the next event comes with the next byte, or room.
func (t *target) echo(fd int, c *targetConn, events uint32) bool {
	if events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		return false
	}
	for {
		for c.have < len(c.buf) {
			n, errno := rawRead(fd, c.buf[c.have:])
			if errno == unix.EAGAIN {
				return true
			}
			if errno != 0 || n == 0 {
				return false
			}
			c.have += n
			if c.have < len(c.buf) && events&unix.EPOLLRDHUP == 0 {
				return true
			}
		}
		for c.sent < len(c.buf) {
			n, errno := rawWrite(fd, c.buf[c.sent:])
			if errno == unix.EAGAIN {
				return true
			}
			if errno != 0 {
				return false
			}
			c.sent += n
		}
		c.have, c.sent = 0, 0
		if events&unix.EPOLLRDHUP == 0 {
			return true
		}
	}
}
