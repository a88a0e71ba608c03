package proxyproto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// MaxLength is the length of the longest header, in bytes: one of version 2 with extensions.
const MaxLength = fixedLength + math.MaxUint16

// The fixed part of a header of version 2.
const (
	signature    = "\r\n\r\n\x00\r\nQUIT\n"
	commandLocal = 0x20 // version and command: the 13th byte
	commandProxy = 0x21
	fixedLength  = 16 // bytes: signature, version and command, family and transport, length of the rest
)

var errNone = errors.New("PROXY protocol: the connection does not begin with a header")

// Length returns the length of the header that b begins with. 0 without an error means that more bytes are needed: some
// continuation of b is a header. With an error, no continuation is.
func Length(b []byte) (int, error) {
	switch {
	case len(b) == 0:
		return 0, nil
	case b[0] == keyword[0]:
		return lineLength(b)
	case b[0] == signature[0]:
		return binaryLength(b)
	}
	return 0, errNone
}

// binaryLength is Length for version 2.
func binaryLength(b []byte) (int, error) {
	n := min(len(b), len(signature))
	if string(b[:n]) != signature[:n] {
		return 0, errNone
	}
	if len(b) > 12 && b[12] != commandLocal && b[12] != commandProxy {
		return 0, fmt.Errorf("PROXY protocol: unknown version and command 0x%02x", b[12])
	}
	// The addresses of a LOCAL header are ignored, whatever their family (section 2.2); only their length matters.
	local := len(b) > 12 && b[12] == commandLocal
	if len(b) > 13 && !local && (b[13]>>4 > 3 || b[13]&15 > 2) {
		return 0, fmt.Errorf("PROXY protocol: unknown address family and transport 0x%02x", b[13])
	}
	if len(b) < fixedLength {
		return 0, nil
	}
	size := int(binary.BigEndian.Uint16(b[14:]))
	if need := blockLength(b[13]); !local && size < need {
		return 0, fmt.Errorf("PROXY protocol: %d bytes for addresses that take %d", size, need)
	}
	if len(b) < fixedLength+size {
		return 0, nil
	}
	return fixedLength + size, nil
}

// blockLength is the length of the addresses of a family and transport, in bytes; 0 if either is unspecified.
func blockLength(family byte) int {
	if family&15 == 0 {
		return 0
	}
	return [...]int{0, 4 + 4 + 2 + 2, 16 + 16 + 2 + 2, 108 + 108}[family>>4&3]
}

// addressLength is blockLength for TCP over IPv4 or IPv6, otherwise 0.
func addressLength(family byte) int {
	if family == 0x11 || family == 0x21 {
		return blockLength(family)
	}
	return 0
}

// lineLength is Length for version 1.
func lineLength(b []byte) (int, error) {
	line := b[:min(len(b), maxLine)]
	if end := bytes.IndexByte(line, '\n'); end >= 0 {
		line = line[:end+1]
	}
	switch more, ok := missing(string(line)); {
	case !ok:
		return 0, fmt.Errorf("PROXY protocol: no header of version 1 begins with %q", line)
	case more > 0:
		return 0, nil
	}
	return len(line), nil
}
