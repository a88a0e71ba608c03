package differential

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"

	"tcp-proxy/internal/proxyproto"
)

// everywhere is every network.
var everywhere = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}

// The addresses in the PROXY headers of clients.
var (
	source      = netip.MustParseAddrPort("192.0.2.7:4711")
	destination = netip.MustParseAddrPort("192.0.2.1:443")
)

// introduce sends the PROXY header of the client, if the script has one.
func (s script) introduce(c net.Conn) error {
	if s.headerIn == 0 {
		return nil
	}
	header, err := proxyproto.Append(nil, s.headerIn, proxyproto.Header{Source: source, Destination: destination})
	if err != nil {
		return err
	}
	switch s.refused {
	case badHeader:
		header[len(header)/4] = 0xff
	case halfHeader:
		header = header[:len(header)/2]
	}
	for len(header) > 0 {
		n := min(len(header), s.pieces)
		if _, err := c.Write(header[:n]); err != nil {
			return err
		}
		header = header[n:]
	}
	if s.refused == halfHeader {
		return c.(interface{ CloseWrite() error }).CloseWrite()
	}
	return nil
}

// expectIntroduction reads the PROXY header that the target must receive first.
func (s script) expectIntroduction(c, t net.Conn) error {
	if s.sent == 0 {
		return nil
	}
	names := proxyproto.Header{Source: source, Destination: destination}
	if s.headerIn == 0 {
		names = namesOf(c)
	}
	want, err := proxyproto.Append(nil, s.sent, names)
	if err != nil {
		return err
	}
	got := make([]byte, len(want))
	if n, err := io.ReadFull(t, got); !bytes.Equal(got, want) {
		return fmt.Errorf("the target is sent %q, %w; want %q", got[:n], err, want)
	}
	return nil
}

// namesOf returns the addresses of a client's connection; a unix socket has none.
func namesOf(c net.Conn) proxyproto.Header {
	from, ok := c.LocalAddr().(*net.TCPAddr)
	if !ok {
		return proxyproto.Header{Local: true}
	}
	return proxyproto.Header{Source: from.AddrPort(), Destination: c.RemoteAddr().(*net.TCPAddr).AddrPort()}
}
