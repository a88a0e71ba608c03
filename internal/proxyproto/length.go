package proxyproto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// MaxLength is the length of the longest header: one of version 2 that is full of extensions.
const MaxLength = fixedLength + math.MaxUint16

// What version 2 begins with, and the 13th byte: version and command.
const (
	signature    = "\r\n\r\n\x00\r\nQUIT\n"
	commandLocal = 0x20
	commandProxy = 0x21
	fixedLength  = 16 // what every header of version 2 has: signature, command, family, length of the rest
)

var errNone = errors.New("PROXY protocol: the connection does not begin with a header")

// Length says where the header ends with which b begins. 0 without an error asks for more bytes: there is a way to go
// on from b to a whole header. With an error there is none, whatever comes.
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
	begun := min(len(b), len(signature))
	if string(b[:begun]) != signature[:begun] {
		return 0, errNone
	}
	if len(b) > 12 && b[12] != commandLocal && b[12] != commandProxy {
		return 0, fmt.Errorf("PROXY protocol: unknown version and command 0x%02x", b[12])
	}
	// What the header of a LOCAL connection says of addresses has no meaning, but it has a length.
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

// blockLength is how many bytes the addresses of a family and transport take: 0 if either is unspecified.
func blockLength(family byte) int {
	if family&15 == 0 {
		return 0
	}
	return [...]int{0, 4 + 4 + 2 + 2, 16 + 16 + 2 + 2, 108 + 108}[family>>4&3]
}

// addressLength is blockLength if the addresses are those of a TCP connection, otherwise 0.
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
	switch more, ok := toGo(string(line)); {
	case !ok:
		return 0, fmt.Errorf("PROXY protocol: no header of version 1 begins with %q", line)
	case more > 0:
		return 0, nil
	}
	return len(line), nil
}
