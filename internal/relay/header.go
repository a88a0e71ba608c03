package relay

import (
	"errors"
	"fmt"
	"net/netip"

	"tcp-proxy/internal/proxyproto"
)

// WantsHeader reports whether who connects has to begin with a PROXY header that names the client. The peer is not valid
// on a unix socket. It has to, if anybody has: there is no address to tell peers apart, and who may open the socket is
// said by its owner and mode.
func (r *Route) WantsHeader(peer netip.Addr) bool {
	return !r.ProxyFrom.Empty() && (!peer.IsValid() || r.ProxyFrom.Contains(peer))
}

// HeaderLength is the length of the PROXY header with which a connection begins, by the bytes that have come so far; 0 if
// more are needed. Nothing comes behind the last. An error is what the session ends with, for the cause ProxyHeader.
func HeaderLength(b []byte, last bool) (int, error) {
	n, err := proxyproto.Length(b)
	if n == 0 && err == nil && last {
		err = errNoHeader
	}
	return n, err
}

var errNoHeader = errors.New("PROXY protocol: the connection ends before its header does")

// HeaderOverdue is the error of a session whose PROXY header was not complete in time.
func (r *Route) HeaderOverdue() error {
	return fmt.Errorf("PROXY protocol: no whole header within %v", r.ProxyTimeout)
}

// AppendHeader appends the PROXY header that the route's targets are sent: who the client is, and where it has connected
// to. For a client of a unix socket, which has no address, and for no other, names is Local. An error is what the session
// ends with, for the cause Internal.
func (r *Route) AppendHeader(b []byte, names proxyproto.Header) ([]byte, error) {
	return proxyproto.Append(b, r.SendProxy, names)
}

// ErrNoPeer is the error of a session over TCP of whose client the kernel has not told the address, for the cause
// Internal. A client without an address is one of a unix socket: networks and limits for each source do not apply to it.
// So nothing else may pass for one.
var ErrNoPeer = errors.New("accept: the kernel does not tell the address of the client")
