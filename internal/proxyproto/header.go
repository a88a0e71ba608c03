// Package proxyproto reads and writes the header of the PROXY protocol, versions 1 and 2, in which a proxy names the
// client before the client's own bytes: section 2 of doc/proxy-protocol.txt in HAProxy's sources.
//
// Addresses are parsed and formatted by github.com/pires/go-proxyproto. Where a header ends, and whether the bytes that
// have come so far can still become one, is decided here: that library reads whole headers only. Nothing here waits.
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

// Header is what a header says of a connection.
type Header struct {
	Source, Destination netip.AddrPort // never IPv4 in IPv6

	// Local is set if the header names no TCP addresses: version 1 with UNKNOWN, version 2 with the command LOCAL or
	// about anything but TCP. What the connection itself says stands; Source and Destination are zero.
	Local bool
}

// Parse reads a header. b is the whole of it and nothing more: what Length has measured. Extensions (TLVs) are passed
// over, the checksum too.
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

// withoutExtensions returns the same header of version 2 with its addresses alone.
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

// Append appends a header of version 1 or 2. Zones are left out; if one address is IPv4 and the other IPv6, both are
// written as IPv6. A header that is Local is UNKNOWN in version 1 and LOCAL in version 2, which every receiver takes. A
// header that is not Local and lacks an address is an error: LOCAL says that the connection is the sender's own
// (section 2.2), and an address that could not be found out must not turn into that.
func Append(b []byte, version int, h Header) ([]byte, error) {
	var source, destination net.Addr // nil in a header that is Local
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
