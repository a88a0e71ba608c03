package proxyproto

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// extended is a header of version 2 for TCP, with extensions after its addresses.
func extended(family byte, extensions []byte) []byte {
	size := addressLength(family)
	b := append([]byte(signature), commandProxy, family, 0, 0)
	binary.BigEndian.PutUint16(b[14:], uint16(size+len(extensions)))
	for i := range size {
		b = append(b, byte(i+1))
	}
	return append(b, extensions...)
}

// For any first bytes of a connection, Length finds the same header of bounded length whether the bytes are received one by
// one or at once, and Append formats what Parse has parsed to a header of the same content.
func FuzzHeader(f *testing.F) {
	for _, c := range valid {
		if len(c.text) < 1000 {
			f.Add([]byte(c.text + "GET / HTTP/1.1\r\n"))
		}
	}
	for _, extensions := range []string{
		"\x04\x00\x00", "\x04\x00\x03abc", "\x03\x00\x04\x00\x00\x00\x00", // NOOP, CRC32C
		"\x20\x00\x0d\x01\x00\x00\x00\x00\x21\x00\x05TLS13", // SSL, with one inside
		"\x01\xff\xff", "\x01\x00", "\x01", "\xea\x00\x01", // longer than there is, cut, empty
	} {
		f.Add(extended(0x11, []byte(extensions)))
		f.Add(extended(0x21, []byte(extensions)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		whole, wholeErr := Length(b)
		if whole > MaxLength || whole > len(b) || whole < 0 || wholeErr != nil && whole != 0 {
			t.Fatalf("%q: %d of %d, %v", b, whole, len(b), wholeErr)
		}
		for i := range min(len(b), 300) {
			n, err := Length(b[:i])
			switch {
			case err != nil && wholeErr == nil:
				t.Fatalf("%q is a header or may become one, but its first %d bytes may not: %v", b, i, err)
			case n > 0 && n != whole:
				t.Fatalf("%q is a header of %d bytes, but of %d when %d are received", b, whole, n, i)
			case n == 0 && err == nil && whole > 0 && i >= whole:
				t.Fatalf("%q is a header of %d bytes, but %d are not enough", b, whole, i)
			}
		}
		if whole == 0 {
			if _, err := Parse(b); err == nil {
				t.Fatalf("%q is not a whole header, but it is parsed", b)
			}
			return
		}
		h, err := Parse(b[:whole])
		if err != nil {
			return // an invalid address: the connection is refused
		}
		if again, err := Parse(bytes.Clone(b[:whole])); err != nil || again != h {
			t.Fatalf("%q: %+v, then %+v", b, h, again)
		}
		if h.Local {
			if h != (Header{Local: true}) {
				t.Fatalf("%q: %+v", b, h)
			}
			return
		}
		if !h.Source.IsValid() || !h.Destination.IsValid() || h.Source.Addr().Is4In6() || h.Destination.Addr().Is4In6() ||
			h.Source.Addr().Zone() != "" || h.Destination.Addr().Zone() != "" {
			t.Fatalf("%q: %+v", b, h)
		}
		for version := 1; version <= 2; version++ {
			text, err := Append(nil, version, h)
			if err != nil {
				t.Fatalf("%+v cannot be formatted in version %d: %v", h, version, err)
			}
			if again, err := Parse(text); err != nil || again != h {
				t.Fatalf("%+v is %q in version %d, which is %+v, %v", h, text, version, again, err)
			}
		}
	})
}
