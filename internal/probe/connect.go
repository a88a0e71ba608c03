package probe

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
)

// connect begins a check, whose time-out runs from here.
func (p *Prober) connect(c *check) {
	config := &c.group.config
	c.next = p.now + jittered(config.Interval)
	c.sent, c.read = 0, 0
	family, size, err := p.writeAddress(c)
	if err != nil {
		p.verdict(c, err)
		return
	}
	fd, errno := linux.Socket(family)
	if errno != 0 {
		p.closeAll() // they may hold the descriptors that checks need
		p.failed(c, os.NewSyscallError("socket", errno))
		return
	}
	event := p.acquire(c, fd)
	linux.Inline(fd)
	if family != unix.AF_UNIX {
		if err := c.prepare(); err != nil {
			p.failed(c, err)
			return
		}
	}
	switch errno = linux.Connect(fd, &p.address, size); {
	case errno == unix.EAGAIN:
		p.verdict(c, errBacklog)
		return
	case errno != 0 && errno != unix.EINPROGRESS:
		p.failed(c, os.NewSyscallError("connect", errno))
		return
	}
	if err := p.reactor.Add(fd, unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLRDHUP|unix.EPOLLET, event); err != nil {
		p.failed(c, err)
		return
	}
	c.phase = connecting
	p.arm(c, p.now+int64(config.Timeout))
	if errno == 0 {
		p.connected(c)
	}
}

// errBacklog is EAGAIN of connect(2) to a unix socket. Many clients may find it full for a moment: it is the count of
// failures in a row that makes it a verdict on the target.
var errBacklog = errors.New("connect: its accept queue is full")

// writeAddress writes where the check goes to p.address.
func (p *Prober) writeAddress(c *check) (family, size int, err error) {
	t := c.target
	if t.Address.Network == "unix" {
		size, err = linux.SockaddrUnix(&p.address, t.Path)
		return unix.AF_UNIX, size, err
	}
	to := c.destination()
	if source := c.group.config.Source; source.IsValid() && source.Is4() != to.Addr().Is4() {
		return 0, 0, fmt.Errorf("connect: %v cannot be reached from the source address %v", to.Addr(), source)
	}
	return linux.Sockaddr(&p.address, to)
}

// destination is the target's own port, or the one that is for checks.
func (c *check) destination() netip.AddrPort {
	if port := c.group.config.Port; port != 0 {
		return netip.AddrPortFrom(c.target.Addr.Addr(), uint16(port))
	}
	return c.target.Addr
}

// prepare sets up a TCP socket before it connects. Unless the other end is to speak first, the last packet of the
// handshake is held back (tcp(7), TCP_QUICKACK): what is to be sent takes it along, or the reset comes in its place.
func (c *check) prepare() error {
	if !c.group.reads() || c.group.sends() {
		_ = unix.SetsockoptInt(c.fd, unix.IPPROTO_TCP, unix.TCP_QUICKACK, 0) // or it is one packet more
	}
	if c.group.config.Source.IsValid() {
		return linux.BindSource(c.fd, c.group.config.Source)
	}
	return nil
}

// answered is called with the first event of a connecting socket.
func (p *Prober) answered(c *check) {
	switch errno := linux.Outcome(c.fd); {
	case errno == 0:
		p.connected(c)
	case !isReset(errno):
		p.failed(c, os.NewSyscallError("connect", errno))
	// A refused connection is ECONNREFUSED: this one was established, and reset before that was noticed.
	case c.group.sends() || c.group.reads():
		p.verdict(c, errReset)
	default:
		p.verdict(c, nil)
	}
}

// connected is called when the connection is established.
func (p *Prober) connected(c *check) {
	switch {
	case c.target.Address.Network != "unix" && linux.MetItself(c.fd):
		p.failed(c, os.NewSyscallError("connect", unix.ECONNREFUSED))
	case c.group.sends():
		c.phase = sending
		p.send(c)
	case c.group.reads():
		c.phase = reading
		p.receive(c)
	default:
		p.verdict(c, nil)
	}
}
