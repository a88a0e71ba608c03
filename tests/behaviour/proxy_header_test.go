package behaviour

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
)

// A header of the PROXY protocol, and who it says that the client is: "" for nobody.
type header struct{ name, text, client string }

const (
	headerClient  = "192.0.2.77:12345"
	headerClient6 = "[2001:db8::77]:54321"
)

// headers are those that any sender may begin with.
var headers = []header{
	{"v1", headerV1(headerClient, "203.0.113.9:443"), headerClient},
	{"v1, IPv6", headerV1(headerClient6, "[2001:db8::9]:443"), headerClient6},
	{"v1, IPv4 in IPv6", "PROXY TCP6 ::ffff:192.0.2.77 ::ffff:203.0.113.9 12345 443\r\n", headerClient},
	{"v1, UNKNOWN", "PROXY UNKNOWN\r\n", ""},
	{"v1, UNKNOWN and more", "PROXY UNKNOWN ffff:f::f:ffff ffff:f::f:ffff 65535 65535\r\n", ""},
	{"v2", headerV2(headerClient, "203.0.113.9:443"), headerClient},
	{"v2, IPv6", headerV2(headerClient6, "[2001:db8::9]:443"), headerClient6},
	{"v2, extensions", headerV2(headerClient, "203.0.113.9:443", "\x02\x00\x0bexample.org", "\x04\x00\x00", "\xea\x00\x02\x01x"), headerClient},
	{"v2, 4 KiB of extensions", headerV2(headerClient, "203.0.113.9:443", "\x04\x10\x00"+strings.Repeat("x", 4096)), headerClient},
	{"v2, LOCAL", binaryHeader(0x20, 0x00), ""},
	{"v2, LOCAL with addresses", binaryHeader(0x20, 0x11, strings.Repeat("x", 12)), ""},
	{"v2, unix", binaryHeader(0x21, 0x31, strings.Repeat("/", 216)), ""},
	{"v2, unspecified", binaryHeader(0x21, 0x00, "\x04\x00\x00"), ""},
}

// longest is a header of version 2 that is as long as one can be: 65,551 bytes.
var longest = header{"the longest", headerV2(headerClient6, "[2001:db8::9]:443", "\x04\xff\xd8"+strings.Repeat("x", 65535-36-3)), headerClient6}

// headerV1 is a header of version 1 for two addresses of one family.
func headerV1(source, destination string) string {
	from, to := netip.MustParseAddrPort(source), netip.MustParseAddrPort(destination)
	family := 4
	if from.Addr().Is6() {
		family = 6
	}
	return fmt.Sprintf("PROXY TCP%d %v %v %d %d\r\n", family, from.Addr(), to.Addr(), from.Port(), to.Port())
}

// headerV2 is a header of version 2 for two addresses of one family, and extensions.
func headerV2(source, destination string, extensions ...string) string {
	from, to := netip.MustParseAddrPort(source), netip.MustParseAddrPort(destination)
	family := byte(0x11)
	if from.Addr().Is6() {
		family = 0x21
	}
	block := append(from.Addr().AsSlice(), to.Addr().AsSlice()...)
	block = binary.BigEndian.AppendUint16(block, from.Port())
	block = binary.BigEndian.AppendUint16(block, to.Port())
	return binaryHeader(0x21, family, append([]string{string(block)}, extensions...)...)
}

func binaryHeader(command, family byte, rest ...string) string {
	all := strings.Join(rest, "")
	begin := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), command, family)
	return string(binary.BigEndian.AppendUint16(begin, uint16(len(all)))) + all
}
