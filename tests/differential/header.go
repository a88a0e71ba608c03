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

// What the PROXY headers of clients say.
var (
	source      = netip.MustParseAddrPort("192.0.2.7:4711")
	destination = netip.MustParseAddrPort("192.0.2.1:443")
)

// introduce sends what the client has to begin with.
func (s script) introduce(c net.Conn) error {
	if s.headerIn == 0 {
		return nil
	}
	header := proxyproto.Append(nil, s.headerIn, source, destination)
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

// expectIntroduction reads what the target has to be sent first.
func (s script) expectIntroduction(c, t net.Conn) error {
	if s.sent == 0 {
		return nil
	}
	from, to := addrPort(c.LocalAddr()), addrPort(c.RemoteAddr())
	if s.headerIn != 0 {
		from, to = source, destination
	}
	want := proxyproto.Append(nil, s.sent, from, to)
	got := make([]byte, len(want))
	if n, err := io.ReadFull(t, got); !bytes.Equal(got, want) {
		return fmt.Errorf("the target is sent %q, %w; want %q", got[:n], err, want)
	}
	return nil
}

// addrPort is a TCP address; that of a unix socket is not valid.
func addrPort(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort()
	}
	return netip.AddrPort{}
}
