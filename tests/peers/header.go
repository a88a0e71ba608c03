package peers

import (
	"net"
	"net/netip"

	"github.com/pires/go-proxyproto"
)

// Claim returns an address for a PROXY header that no other client has.
func (l *Ledger) Claim() netip.AddrPort {
	n := l.claims.Add(1)
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), uint16(n>>24)+1024)
}

// Header writes a PROXY header, version 1 or 2, of a client with that address.
func Header(version byte, source netip.AddrPort) ([]byte, error) {
	to := net.TCPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.1:443"))
	return proxyproto.HeaderProxyFromAddrs(version, net.TCPAddrFromAddrPort(source), to).Format()
}

// InPieces writes data in pieces of n bytes.
func InPieces(c net.Conn, data []byte, size int) error {
	for len(data) > 0 {
		n, err := c.Write(data[:min(size, len(data))])
		if err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}
