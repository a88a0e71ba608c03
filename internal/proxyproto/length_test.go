package proxyproto

import (
	"bufio"
	"bytes"
	"math"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/pires/go-proxyproto"
)

// While a header is received byte by byte, Length asks for more until it is complete. Bytes after the header change nothing.
func TestLengthOfHeaders(t *testing.T) {
	for _, c := range valid {
		step := 1 + len(c.text)/1000 // not every prefix of a long one
		for n := 0; n < len(c.text); n += step {
			if got, err := Length([]byte(c.text[:n])); got != 0 || err != nil {
				t.Fatalf("%s: after %d of %d bytes: %d, %v", c.name, n, len(c.text), got, err)
			}
		}
		for _, more := range []string{"", "x", "\r\n", c.text, "PROXY UNKNOWN\r\n", strings.Repeat("\x00", MaxLength)} {
			if got, err := Length([]byte(c.text + more)); got != len(c.text) || err != nil {
				t.Fatalf("%s, and %d bytes more: %d, %v; want %d", c.name, len(more), got, err, len(c.text))
			}
		}
	}
}

// Length fails at the byte after |, not before and not later, if no continuation is a header.
func TestLengthFails(t *testing.T) {
	for _, c := range []string{
		"|GET / HTTP/1.1\r\n", "|\x16\x03\x01", "|\x00", "|proxy", "|\n", "| PROXY",
		"P|OST / HTTP/1.1\r\n", "PROX|y", "PROXY|\r\n", "PROXY|\tTCP4", "PROXY |\r\n", "PROXY | TCP4", "PROXY |tcp4",
		"PROXY TCP|5", "PROXY TCP4|\r\n", "PROXY TCP4|4 ", "PROXY TCP|\r", "PROXY U|DP4",
		"PROXY TCP4 | 1.2.3.4", "PROXY TCP4 |a", "PROXY TCP4 |:", "PROXY TCP4 0|1.2.3.4", "PROXY TCP4 25|6.2.3.4", "PROXY TCP4 1.|.3.4",
		"PROXY TCP4 1.2.3| 4", "PROXY TCP4 1.2.3.4|.5", "PROXY TCP4 1.2.3.0|4", "PROXY TCP4 1.2.3.4|\r", "PROXY TCP4 1.2.3.4|:80",
		"PROXY TCP4 1.2.3.4 | 5.6.7.8", "PROXY TCP4 1.2.3.4 5.6.7.8 |-1", "PROXY TCP4 1.2.3.4 5.6.7.8 |+1", "PROXY TCP4 1.2.3.4 5.6.7.8 0|1",
		"PROXY TCP4 1.2.3.4 5.6.7.8 0|0", "PROXY TCP4 1.2.3.4 5.6.7.8 6553|6", "PROXY TCP4 1.2.3.4 5.6.7.8 65535|0", "PROXY TCP4 1.2.3.4 5.6.7.8 |a",
		"PROXY TCP4 1.2.3.4 5.6.7.8 1|\r\n", "PROXY TCP4 1.2.3.4 5.6.7.8 1 |\r\n", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2|\n", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2| \r\n",
		"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r|\r\n", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r| \n", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2|x\r\n",
		"PROXY TCP6 1|.2.3.4", "PROXY TCP6 |g", "PROXY TCP6 :|1", "PROXY TCP6 1:2:3:4:5:6:7:8|:", "PROXY TCP6 1::2:|:", "PROXY TCP6 ::|:", "PROXY TCP6 1234|5",
		"PROXY TCP6 1::3:4:5:6:7:8|:", "PROXY TCP6 fe80::1|%eth0", "PROXY TCP6 ::1.2.3|:", "PROXY TCP6 ::ffff:1.2.3.4|.5", "PROXY TCP6 ::ffff:1.2.3.25|6",
		"PROXY TCP6 1:2:3:4:5:6:7:8|.9", "PROXY TCP6 :: 1|.2", "PROXY TCP6 1| 2",
		"PROXY UNKNOWN|S", "PROXY UNKNOWN|\n", "PROXY UNKNOWN \r|x", "PROXY UNKNOWN 1\r|\r\n", "PROXY UNKNOWN a|\n",
		"PROXY UNKNOWN " + strings.Repeat("x", maxLine-16) + "|x\r\n", "PROXY UNKNOWN " + strings.Repeat("x", maxLine-16) + "\r|\r",
		// Two addresses in their longest form leave no room for ports.
		"PROXY TCP6 1111:2222:3333:4444:5555:6666:111.111.111.111 1111:2222:3333:4444:5555:6666:111.111.1.1 1111|1 2\r\n",

		"\r|\r", "\r\n|\n", "\r\n\r\n\x00\r\nQUIT|\r", "\r\n\r\n\x00\r\nQUIT\n|\x11", "\r\n\r\n\x00\r\nQUIT\n|\x22", "\r\n\r\n\x00\r\nQUIT\n|\x2f",
		"\r\n\r\n\x00\r\nQUIT\n\x21|\x41", "\r\n\r\n\x00\r\nQUIT\n\x21|\x13", "\r\n\r\n\x00\r\nQUIT\n\x21|\xff",
		"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00|\x0b", "\r\n\r\n\x00\r\nQUIT\n\x21\x12\x00|\x00", "\r\n\r\n\x00\r\nQUIT\n\x21\x21\x00|\x23", "\r\n\r\n\x00\r\nQUIT\n\x21\x31\x00|\xd7",
	} {
		good, bad, ok := strings.Cut(c, "|")
		if !ok || bad == "" {
			t.Fatalf("%q has no mark before its end", c)
		}
		if n, err := Length([]byte(good)); n != 0 || err != nil {
			t.Errorf("%q: %d, %v; it can still become a header", good, n, err)
		}
		for i := 1; i <= len(bad); i++ {
			if n, err := Length([]byte(good + bad[:i])); n != 0 || err == nil {
				t.Errorf("%q: %d, %v; it is not a header", good+bad[:i], n, err)
			}
		}
	}
}

// complete completes b to a header, one byte at a time, by asking Length after each. It reports whether it could.
func complete(b []byte) ([]byte, bool) {
	if len(b) >= fixedLength && b[0] == signature[0] { // the length of the rest is known
		whole := append(bytes.Clone(b), make([]byte, MaxLength)...)
		n, err := Length(whole)
		return whole[:n], err == nil && n > len(b)
	}
	const alphabet = "\r\n :0.PROXYTCP46UNKNOWN\x00\r\nQUIT\x20\x01\xff"
	for steps := 0; steps < 200; steps++ {
		next := -1
		for _, c := range []byte(alphabet) {
			n, err := Length(append(b[:len(b):len(b)], c))
			if n > 0 {
				return append(b[:len(b):len(b)], c), true
			}
			if err == nil && next < 0 {
				next = int(c)
			}
		}
		if next < 0 {
			return nil, false
		}
		b = append(b[:len(b):len(b)], byte(next))
		if len(b) == fixedLength {
			return complete(b)
		}
	}
	return nil, false
}

// library reads a header from b by the library, and returns its length.
func library(b []byte) (h *proxyproto.Header, n int, err error) {
	source := bytes.NewReader(b)
	r := bufio.NewReaderSize(source, MaxLength+1)
	h, err = proxyproto.Read(r)
	return h, len(b) - source.Len() - r.Buffered(), err
}

func FuzzLength(f *testing.F) {
	proxyproto.MaxV2HeaderSize = math.MaxUint16
	for _, c := range valid {
		if len(c.text) < 1000 {
			f.Add([]byte(c.text))
			f.Add([]byte(c.text[:len(c.text)*2/3]))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := Length(b)
		switch {
		case err != nil:
			if n != 0 {
				t.Fatalf("%q: %d with %v", b, n, err)
			}
			checkNone(t, b)
		case n == 0:
			if whole, ok := complete(b); !ok {
				t.Fatalf("%q: Length asks for more, but no continuation is a header", b)
			} else {
				checkHeader(t, whole)
			}
		case n > len(b):
			t.Fatalf("%q has %d bytes of %d", b, n, len(b))
		default:
			checkHeader(t, b[:n])
		}
	})
}

// checkNone checks that the library finds no header either, for several continuations.
func checkNone(t *testing.T, b []byte) {
	for _, more := range []string{"", "0", "\n", "\r\n", " 0\r\n", " 0 0\r\n", ":: :: 0 0\r\n", " 0.0.0.0 0 0\r\n"} {
		longer := append(b[:len(b):len(b)], more...)
		if n, err := Length(longer); n != 0 || err == nil {
			t.Fatalf("%q is not a header, but with %q it is: %d, %v", b, more, n, err)
		}
		h, n, err := library(longer)
		// The library accepts a CR after UNKNOWN.
		if err == nil && !(h.Version == 1 && h.TransportProtocol == proxyproto.UNSPEC && bytes.Count(longer[:n], []byte("\r")) > 1) {
			t.Fatalf("%q is a header for the library: %+v", longer, h)
		}
	}
}

// checkHeader checks that b is one whole header, and that the library reads the same.
func checkHeader(t *testing.T, b []byte) {
	for n := range min(len(b), 300) {
		if got, err := Length(b[:n]); got != 0 || err != nil {
			t.Fatalf("%q, %d bytes of it: %d, %v", b, n, got, err)
		}
	}
	if n, err := Length(append(b[:len(b):len(b)], "\r\nPROXY"...)); n != len(b) || err != nil {
		t.Fatalf("%q, and more: %d, %v", b, n, err)
	}
	got, err := Parse(b)
	if err != nil {
		t.Fatalf("%q: %v", b, err)
	}
	h, n, err := library(b)
	if err != nil {
		if b[0] == signature[0] && got.Local { // of a family that the library does not know, and that is ignored
			return
		}
		t.Fatalf("%q is not a header for the library: %v", b, err)
	}
	if n != len(b) {
		t.Fatalf("%q has %d bytes for the library", b, n)
	}
	want := Header{Local: true}
	if source, destination, ok := h.TCPAddrs(); ok && !h.Command.IsLocal() {
		want = Header{Source: unmapped(source), Destination: unmapped(destination)}
	}
	if got != want {
		t.Fatalf("%q: %+v, and %+v for the library", b, got, want)
	}
}

func unmapped(a *net.TCPAddr) netip.AddrPort {
	return netip.AddrPortFrom(a.AddrPort().Addr().Unmap(), uint16(a.Port))
}
