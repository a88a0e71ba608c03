package relay

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/proxyproto"
)

// WantsHeader reports whether who connects has to begin with a PROXY header that names the client. The peer is not valid
// on a unix socket. It has to, if anybody has: there is no address to tell peers apart, and who may open the socket is
// said by its owner and mode.
func (r *Route) WantsHeader(peer netip.Addr) bool {
	return !r.ProxyFrom.Empty() && (!peer.IsValid() || r.ProxyFrom.Contains(peer))
}

// HeaderLength is the length of the PROXY header with which a connection begins, by the bytes that were received so far; 0
// if more are needed. last says that there are no more. An error ends the session with the cause ProxyHeader.
func HeaderLength(b []byte, last bool) (int, error) {
	n, err := proxyproto.Length(b)
	if n == 0 && err == nil && last {
		err = errNoHeader
	}
	return n, err
}

var errNoHeader = errors.New("PROXY protocol: the connection ended before its header was complete")

// HeaderOverdue is the error of a session whose PROXY header was not complete in time.
func (r *Route) HeaderOverdue() error {
	return fmt.Errorf("PROXY protocol: no complete header within %v", r.ProxyTimeout)
}

// AppendHeader appends the PROXY header for the route's targets: who the client is, and which address it has connected to.
// For a client of a unix socket, which has no address, and for no other, names is Local. An error ends the session with the
// cause Internal.
func (r *Route) AppendHeader(b []byte, names proxyproto.Header) ([]byte, error) {
	return proxyproto.Append(b, r.SendProxy, names)
}

// ErrNoPeer ends a session over TCP with the cause Internal if the kernel does not report its client's address. A client
// without an address is one of a unix socket, to which networks and limits for each source do not apply: nothing else may
// pass for one.
var ErrNoPeer = errors.New("accept: the kernel does not report the address of the client")

// TakeHeader reads the PROXY header with which a connection begins, once it was received in full, and no byte after it. If it
// returns neither a header nor an error, the header is not complete: an event reports the rest. What was received so far is
// moved to kept, because MSG_PEEK does not go past urgent data (tcp(7)). buffer is scratch space; the header may point into
// it. Errors are those of HeaderLength, or errno values of recv(2).
func TakeHeader(fd int, buffer []byte, kept *[]byte) (header []byte, err error) {
	for {
		there, errno := linux.Peek(fd, buffer)
		switch errno {
		case 0:
		case unix.EAGAIN:
			return nil, nil
		case unix.EINTR:
			continue
		default:
			return nil, errno
		}
		all := buffer[:there]
		if len(*kept) > 0 {
			all = append(*kept, all...)
		}
		length, err := HeaderLength(all, there == 0)
		if err != nil {
			return nil, err
		}
		part := there
		if length > 0 {
			part = length - len(*kept)
		}
		if err := receive(fd, buffer[:part]); err != nil {
			return nil, err
		}
		if length > 0 {
			return all[:length], nil
		}
		*kept = append(*kept, buffer[:part]...)
	}
}

// receive reads what Peek has shown.
func receive(fd int, p []byte) error {
	for len(p) > 0 {
		n, errno := linux.Receive(fd, p)
		switch {
		case errno == unix.EINTR:
		case errno != 0:
			return errno
		case n == 0: // somebody else has read it
			return unix.EPIPE
		}
		p = p[n:]
	}
	return nil
}
