package loop

import (
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/proxyproto"
	"tcp-proxy/internal/relay"
)

// readProxyHeader takes the client's PROXY header, if it is there in full, and nothing of what comes behind it.
func (l *loop) readProxyHeader(s *sessionHot) {
	x := &s.side[client]
	if !x.mark.has(readable) {
		return
	}
	c := l.cold(s)
	header, err := relay.TakeHeader(int(x.fd), l.buffer, &c.held[client])
	if header == nil && err == nil {
		x.mark &^= readable // more of it is an event
		return
	}
	c.held[client] = nil
	l.do(s, c.OnHeader(header, err, x.mark.has(broken)))
}

// sendProxyHeader sends the target the PROXY header, in one write and before anything else.
func (l *loop) sendProxyHeader(s *sessionHot) {
	c, x := l.cold(s), &s.side[target]
	header, err := c.AppendTargetHeader(l.buffer[:0], s.acceptedNames)
	n := 0
	if err == nil {
		n, err = writeOnce(int(x.fd), header)
		x.mark |= written
	}
	l.do(s, c.OnHeaderSent(n, len(header), err, x.mark.has(broken)))
}

func writeOnce(fd int, p []byte) (int, error) {
	n, errno := linux.Write(fd, p)
	for errno == unix.EINTR {
		n, errno = linux.Write(fd, p)
	}
	if errno != 0 {
		return n, os.NewSyscallError("send", errno)
	}
	return n, nil
}

// acceptedNames is what a PROXY header says of the accepted connection: the peer, as accept has given it, which a reset
// does not take away, and the address that it has connected to.
func (s *sessionHot) acceptedNames() (proxyproto.Header, error) {
	if s.side[client].mark.has(isUnix) {
		return proxyproto.Header{Local: true}, nil
	}
	local, err := linux.LocalAddr(int(s.side[client].fd))
	return proxyproto.Header{Source: netip.AddrPortFrom(s.peerAddr(), s.peerPort), Destination: local}, err
}
