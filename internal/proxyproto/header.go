// Package proxyproto parses and formats headers of the PROXY protocol, versions 1 and 2, with which a proxy sends the
// client's address before the client's own bytes: section 2 of doc/proxy-protocol.txt in HAProxy's sources.
//
// github.com/pires/go-proxyproto parses and formats the addresses. It reads only whole headers, so this package decides
// where a header ends, and whether the bytes received so far can still become one. No function here blocks.
package proxyproto

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/pires/go-proxyproto"
)

// Header is the content of a header.
type Header struct {
	Source, Destination netip.AddrPort // never IPv4-mapped IPv6

	// Local is set if the header has no TCP addresses: version 1 with UNKNOWN, version 2 with the command LOCAL or with
	// another protocol than TCP. The addresses of the connection itself apply; Source and Destination are zero.
	Local bool
}

// Parse parses a header. b is exactly one header, as long as Length says. Extensions (TLVs) are ignored, also the checksum.
func Parse(b []byte) (Header, error) {
	switch n, err := Length(b); {
	case err != nil:
		return Header{}, err
	case n == 0 || n != len(b):
		return Header{}, fmt.Errorf("PROXY protocol: %d bytes are not one whole header", len(b))
	}
	if b[0] == signature[0] {
		if b[12] != commandProxy || addressLength(b[13]) == 0 {
			return Header{Local: true}, nil
		}
		b = withoutExtensions(b)
	}
	read, err := proxyproto.Read(bufio.NewReaderSize(bytes.NewReader(b), len(b)))
	if err != nil {
		return Header{}, fmt.Errorf("PROXY protocol: %w", err)
	}
	source, destination, ok := read.TCPAddrs()
	if !ok {
		return Header{Local: true}, nil
	}
	h := Header{Source: addrPort(source), Destination: addrPort(destination)}
	if !h.Source.IsValid() || !h.Destination.IsValid() {
		return Header{}, errNoAddress
	}
	return h, nil
}

// withoutExtensions returns a header of version 2 without its extensions.
func withoutExtensions(b []byte) []byte {
	size := addressLength(b[13])
	short := append(make([]byte, 0, fixedLength+size), b[:fixedLength+size]...)
	binary.BigEndian.PutUint16(short[fixedLength-2:], uint16(size))
	return short
}

func addrPort(a *net.TCPAddr) netip.AddrPort {
	ap := a.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// Append appends a header of version 1 or 2. Zones are left out. If one address is IPv4 and the other IPv6, both are written
// as IPv6. A header that is Local becomes UNKNOWN in version 1 and LOCAL in version 2; every receiver must accept both.
//
// It is an error if an address is missing in a header that is not Local. Such a header must not become LOCAL, by which the
// sender says that the connection is its own (section 2.2).
func Append(b []byte, version int, h Header) ([]byte, error) {
	var source, destination net.Addr // nil if h is Local
	if !h.Local {
		if !h.Source.IsValid() || !h.Destination.IsValid() {
			return b, errNoAddress
		}
		source, destination = net.TCPAddrFromAddrPort(h.Source), net.TCPAddrFromAddrPort(h.Destination)
	}
	text, err := proxyproto.HeaderProxyFromAddrs(byte(version), source, destination).Format()
	if err != nil {
		return b, fmt.Errorf("PROXY protocol: %w", err)
	}
	return append(b, text...), nil
}

var errNoAddress = errors.New("PROXY protocol: an address of the connection is not known")
