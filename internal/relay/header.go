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
// to. Addresses that are not valid are those of unix sockets.
func (r *Route) AppendHeader(b []byte, client, door netip.AddrPort) []byte {
	return proxyproto.Append(b, r.SendProxy, client, door)
}
