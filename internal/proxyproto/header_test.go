package proxyproto

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
)

// binaryHeader formats a header of version 2 with the length of rest.
func binaryHeader(command, family byte, rest ...string) string {
	all := strings.Join(rest, "")
	h := append([]byte(signature), command, family)
	return string(binary.BigEndian.AppendUint16(h, uint16(len(all)))) + all
}

// extension formats a TLV.
func extension(kind byte, value string) string {
	return string(binary.BigEndian.AppendUint16([]byte{kind}, uint16(len(value)))) + value
}

const (
	v4Block = "\x0a\x01\x02\x03\xc0\xa8\x00\x01\x30\x39\x01\xbb"
	v6Block = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02" + "\xff\xff\x00\x00"
	mappedBlock = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x01\x02\x03\x04" +
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x05\x06\x07\x08" + "\x00\x01\x00\x02"
)

var (
	unixBlock = "/run/client.sock" + strings.Repeat("\x00", 108-16) + "/run/proxy.sock" + strings.Repeat("\x00", 108-15)
	local     = Header{Local: true}
)

func between(source, destination string) Header {
	return Header{Source: netip.MustParseAddrPort(source), Destination: netip.MustParseAddrPort(destination)}
}

// valid are headers and their contents.
var valid = []struct {
	name, text string
	want       Header
}{
	{"v1 IPv4", "PROXY TCP4 10.1.2.3 192.168.0.1 12345 443\r\n", between("10.1.2.3:12345", "192.168.0.1:443")},
	{"v1 IPv4, the longest", "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", between("255.255.255.255:65535", "255.255.255.255:65535")},
	{"v1 IPv4, the shortest", "PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", between("0.0.0.0:0", "0.0.0.0:0")},
	{"v1 IPv6", "PROXY TCP6 2001:db8::1 2001:DB8:0:0:0:0:0:2 1 65535\r\n", between("[2001:db8::1]:1", "[2001:db8::2]:65535")},
	{"v1 IPv6, the shortest", "PROXY TCP6 :: :: 0 0\r\n", between("[::]:0", "[::]:0")},
	{"v1 IPv6, groups with zeros in front", "PROXY TCP6 2001:0db8:0000:0000:0000:0000:0000:0001 ::2 1 2\r\n", between("[2001:db8::1]:1", "[::2]:2")},
	{"v1 IPv6, every group", "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
		between("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535")},
	{"v1 IPv4 in IPv6", "PROXY TCP6 ::ffff:1.2.3.4 ::ffff:506:708 1 2\r\n", between("1.2.3.4:1", "5.6.7.8:2")},
	{"v1 UNKNOWN", "PROXY UNKNOWN\r\n", local},
	{"v1 UNKNOWN with addresses", "PROXY UNKNOWN ffff:f::f:ffff ffff:f::f:ffff 65535 65535\r\n", local},
	{"v1 UNKNOWN with anything", "PROXY UNKNOWN  \x00\xff PROXY\r\n", local},
	{"v1 UNKNOWN, the longest", "PROXY UNKNOWN " + strings.Repeat("x", maxLine-16) + "\r\n", local},

	{"v2 IPv4", binaryHeader(0x21, 0x11, v4Block), between("10.1.2.3:12345", "192.168.0.1:443")},
	{"v2 IPv6", binaryHeader(0x21, 0x21, v6Block), between("[2001:db8::1]:65535", "[2001:db8::2]:0")},
	{"v2 IPv4 in IPv6", binaryHeader(0x21, 0x21, mappedBlock), between("1.2.3.4:1", "5.6.7.8:2")},
	{"v2 with extensions", binaryHeader(0x21, 0x11, v4Block, extension(2, "example.org"), extension(4, ""), extension(0xea, "\x01vpce-1")),
		between("10.1.2.3:12345", "192.168.0.1:443")},
	{"v2 full of extensions", binaryHeader(0x21, 0x21, v6Block, extension(4, strings.Repeat("x", 65535-36-3))), between("[2001:db8::1]:65535", "[2001:db8::2]:0")},
	{"v2 with invalid extensions", binaryHeader(0x21, 0x11, v4Block, "\x01\xff"), between("10.1.2.3:12345", "192.168.0.1:443")},
	{"v2 LOCAL", binaryHeader(0x20, 0x00), local},
	{"v2 LOCAL with addresses", binaryHeader(0x20, 0x11, v4Block), local},
	{"v2 LOCAL with fewer bytes than its family needs", binaryHeader(0x20, 0x21, "abc"), local},
	{"v2 LOCAL of an unknown family", binaryHeader(0x20, 0xff, "abc"), local},
	{"v2 unix", binaryHeader(0x21, 0x31, unixBlock), local},
	{"v2 unix datagrams, with extensions", binaryHeader(0x21, 0x32, unixBlock, extension(4, "...")), local},
	{"v2 UDP, IPv4", binaryHeader(0x21, 0x12, v4Block), local},
	{"v2 UDP, IPv6", binaryHeader(0x21, 0x22, v6Block), local},
	{"v2 unspecified", binaryHeader(0x21, 0x00), local},
	{"v2 unspecified, with something", binaryHeader(0x21, 0x00, extension(2, "example.org")), local},
	{"v2 unspecified family", binaryHeader(0x21, 0x01, "abc"), local},
	{"v2 unspecified transport", binaryHeader(0x21, 0x10, "abc"), local},
}

func TestParse(t *testing.T) {
	for _, c := range valid {
		got, err := Parse([]byte(c.text))
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", c.name, got, err, c.want)
		}
		for _, part := range []string{c.text[:len(c.text)-1], c.text + "x", ""} {
			if got, err := Parse([]byte(part)); err == nil || got != (Header{}) {
				t.Errorf("%s: %d of %d bytes are parsed as a whole header: %+v", c.name, len(part), len(c.text), got)
			}
		}
	}
}

// Parse returns what Append has formatted, which is no longer than a line of version 1.
func TestAppend(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	address := func() netip.Addr {
		b := [16]byte{}
		for i := range b {
			b[i] = byte(random.Uint32() & random.Uint32())
		}
		switch random.IntN(4) {
		case 0:
			return netip.AddrFrom16(b)
		case 1:
			return netip.AddrFrom16(b).WithZone("eth0")
		case 2:
			return netip.AddrFrom16(netip.AddrFrom4([4]byte(b[:])).As16())
		}
		return netip.AddrFrom4([4]byte(b[:]))
	}
	for range 10_000 {
		source := netip.AddrPortFrom(address(), uint16(random.Uint32()))
		destination := netip.AddrPortFrom(address(), uint16(random.Uint32()))
		want := Header{
			Source:      netip.AddrPortFrom(source.Addr().Unmap().WithZone(""), source.Port()),
			Destination: netip.AddrPortFrom(destination.Addr().Unmap().WithZone(""), destination.Port()),
		}
		for version := 1; version <= 2; version++ {
			b, err := Append([]byte("before"), version, Header{Source: source, Destination: destination})
			if err != nil {
				t.Fatalf("%v to %v: %v", source, destination, err)
			}
			text, ok := strings.CutPrefix(string(b), "before")
			if !ok || len(text) > maxLine {
				t.Fatalf("%v to %v: %q", source, destination, b)
			}
			if got, err := Parse([]byte(text)); err != nil || got != want {
				t.Fatalf("%q of version %d for %v to %v: %+v, %v", text, version, source, destination, got, err)
			}
			if first := map[int]byte{1: keyword[0], 2: signature[0]}[version]; text[0] != first {
				t.Fatalf("version %d begins with %q", version, text[0])
			}
		}
	}
}

func TestAppendExactly(t *testing.T) {
	v4, other := netip.MustParseAddrPort("10.1.2.3:12345"), netip.MustParseAddrPort("192.168.0.1:443")
	v6 := netip.MustParseAddrPort("[2001:db8::1]:65535")
	for _, c := range []struct {
		version int
		header  Header
		want    string
	}{
		{1, Header{Source: v4, Destination: other}, "PROXY TCP4 10.1.2.3 192.168.0.1 12345 443\r\n"},
		{1, Header{Source: v6, Destination: v6}, "PROXY TCP6 2001:db8::1 2001:db8::1 65535 65535\r\n"},
		{1, Header{Source: v4, Destination: v6}, "PROXY TCP6 ::ffff:10.1.2.3 2001:db8::1 12345 65535\r\n"},
		{1, Header{Local: true}, "PROXY UNKNOWN\r\n"},
		{2, Header{Source: v4, Destination: other}, binaryHeader(0x21, 0x11, v4Block)},
		{2, Header{Source: v6, Destination: netip.MustParseAddrPort("[2001:db8::2]:0")}, binaryHeader(0x21, 0x21, v6Block)},
		{2, Header{Local: true}, binaryHeader(0x20, 0)},
	} {
		if got, err := Append(nil, c.version, c.header); string(got) != c.want || err != nil {
			t.Errorf("version %d, %v: %q, %v; want %q", c.version, c.header, got, err, c.want)
		}
	}
}

// A missing address does not become a LOCAL header.
func TestAppendWithoutAnAddress(t *testing.T) {
	known, port := netip.MustParseAddrPort("10.1.2.3:12345"), netip.AddrPortFrom(netip.Addr{}, 80)
	for _, h := range []Header{{}, {Source: known}, {Destination: known}, {Source: port, Destination: known}, {Source: known, Destination: port}} {
		for version := 1; version <= 2; version++ {
			if got, err := Append([]byte("before"), version, h); err == nil || string(got) != "before" {
				t.Errorf("version %d, %+v: %q, %v", version, h, got, err)
			}
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for _, c := range valid {
		if strings.Contains(c.name, "extensions") || c.want.Local {
			continue
		}
		b.Run(strings.ReplaceAll(c.name, " ", "_"), func(b *testing.B) {
			text := []byte(c.text)
			b.ReportAllocs()
			for b.Loop() {
				if n, err := Length(text); n != len(text) || err != nil {
					b.Fatal(err)
				}
				if _, err := Parse(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, h := range []Header{between("10.1.2.3:12345", "192.168.0.1:443"), between("[2001:db8::1]:1", "[2001:db8::2]:65535")} {
		for version := 1; version <= 2; version++ {
			b.Run(fmt.Sprintf("v%d_%d_bits", version, h.Source.Addr().BitLen()), func(b *testing.B) {
				buffer := make([]byte, 0, 128)
				b.ReportAllocs()
				for b.Loop() {
					Append(buffer, version, h)
				}
			})
		}
	}
}
