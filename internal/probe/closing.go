package probe

import (
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
)

// What closing a connection in good order may cost.
const (
	awaitClose      = time.Second     // for an HTTP server, which was asked to close, before it is sent FIN
	awaitFIN        = 5 * time.Second // for the other end's FIN after ours
	mostDiscarded   = 1 << 20         // bytes of one connection
	discardsPerTurn = 16              // reads of one connection before the others have their turn
)

// closing is a connection whose check has its verdict, and which is closed without a reset: FIN is sent, what still
// comes is read and discarded until the other end's FIN, and only then the socket is closed. To close it before would
// answer the next byte of a server that is still writing with a reset (RFC 9293, section 3.10.7.1; for HTTP see
// RFC 9112, section 9.6). It holds no slot that a check needs.
type closing struct {
	fd       int // noSocket once it is closed
	check    *check
	number   int32
	index    int // in Prober.closings
	deadline int64
	read     int  // bytes that were discarded
	finished bool // FIN was sent
}

// startClosing takes its connection from a check that has its verdict, to close it in good order.
func (p *Prober) startClosing(c *check) {
	if c.closings == closingPerTarget {
		p.abort(p.oldestClosing(c))
	}
	if len(p.closings) == p.maxClosing {
		p.abort(p.oldestClosing(nil))
	}
	x := &closing{fd: c.fd, check: c, index: len(p.closings)}
	p.reactor.Disarm(c.number)
	p.release(c)
	c.closings++
	x.number = p.number(x)
	p.closings = append(p.closings, x)
	p.armClosing(x, p.now+int64(awaitClose))
	if !p.registerAgain(x) {
		return
	}
	if !c.group.isHTTP() {
		p.sendFIN(x)
	}
	x.ready(p)
}

// registerAgain asks for the events of a connection that is closed, also of what has come already. It reports false if it
// had to be reset.
func (p *Prober) registerAgain(x *closing) bool {
	err := p.reactor.Modify(x.fd, unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLET, p.tasks.Key(x.number))
	if err != nil {
		p.abort(x)
	}
	return err == nil
}

// oldestClosing is the one that has had most of its time; of the target of c, or of any if c is nil.
func (p *Prober) oldestClosing(c *check) (oldest *closing) {
	for _, x := range p.closings {
		switch {
		case c != nil && x.check != c:
		case oldest == nil, x.finished && !oldest.finished, x.finished == oldest.finished && x.deadline < oldest.deadline:
			oldest = x
		}
	}
	return oldest
}

func (p *Prober) armClosing(x *closing, deadline int64) {
	x.deadline = deadline
	p.reactor.Arm(x.number, deadline)
}

// sendFIN finishes this end.
func (p *Prober) sendFIN(x *closing) {
	x.finished = true
	p.armClosing(x, p.now+int64(awaitFIN))
	linux.CloseWrite(x.fd) // fails only if the connection is gone, which reading tells
}

// ready reads what has come, and closes the socket at the end of it.
func (x *closing) ready(p *Prober) {
	buffer := p.buffer[:cap(p.buffer)]
	for range discardsPerTurn {
		n, errno := linux.Read(x.fd, buffer)
		switch x.read += n; {
		case errno == unix.EAGAIN:
			return
		case errno != 0, n == 0:
			p.close(x)
			return
		case x.read > mostDiscarded:
			p.abort(x)
			return
		}
	}
	p.registerAgain(x) // or there would be no event for what is left
}

// due goes on when the other end has not finished in time.
func (x *closing) due(p *Prober) {
	if !x.finished {
		p.sendFIN(x)
		return
	}
	if x.ready(p); x.fd != noSocket {
		p.abort(x)
	}
}

// close closes a connection that both ends have finished, or that is broken.
func (p *Prober) close(x *closing) {
	linux.CloseNow(x.fd)
	p.closed(x)
}

// abort resets a connection that the other end does not finish.
func (p *Prober) abort(x *closing) {
	linux.Abort(x.fd)
	p.closed(x)
}

func (p *Prober) closed(x *closing) {
	x.fd = noSocket
	x.check.closings--
	p.forgetNumber(x.number)
	last := len(p.closings) - 1
	p.closings[x.index] = p.closings[last]
	p.closings[x.index].index = x.index
	p.closings[last] = nil
	p.closings = p.closings[:last]
}

// closeAll closes all connections that wait for the other end. What has come is read, so that it is a FIN that goes out
// where the other end is quiet.
func (p *Prober) closeAll() {
	for len(p.closings) > 0 {
		x := p.closings[len(p.closings)-1]
		if x.ready(p); x.fd != noSocket {
			p.close(x)
		}
	}
}
