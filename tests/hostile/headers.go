package hostile

import (
	"encoding/binary"
	"io"
	"strings"

	"tcp-proxy/tests/peers"
)

// Clients that send something else to apps that require a PROXY header. They break a reader that waits for bytes that never
// come, buffers without a limit, reads beyond the header, or believes an address from the wrong peer.

// signature is the beginning of a header of version 2 (proxy-protocol.txt, section 2.2).
const signature = "\r\n\r\n\x00\r\nQUIT\n"

// binaryHeader returns a header of version 2 with an arbitrary length field.
func binaryHeader(command, family byte, length int, rest string) string {
	return signature + string([]byte{command, family}) + string(binary.BigEndian.AppendUint16(nil, uint16(length))) + rest
}

// bombs are the beginnings of invalid headers.
var bombs = []string{
	"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n",
	"PROXY TCP4 10.0.0.1 10.0.0.2 1 2" + strings.Repeat(" ", 5000),
	"PROXY " + strings.Repeat("A", 200_000),
	"PROXY UNKNOWN " + strings.Repeat("x", 200) + "\r\n",
	"PROXY TCP4 10.0.0.1 10.0.0.2 1 70000\r\n",
	"PROXY TCP4 10.0.0.1\x00 10.0.0.2 1 2\r\n",
	"PROXY TCP6 10.0.0.1 10.0.0.2 1 2\r\n",
	"PROXY TCP4 010.0.0.1 10.0.0.2 1 2\r\n",
	"\r\n\r\n\x00\r\nQUIX\n" + strings.Repeat("\xff", 100),
	binaryHeader(0x31, 0x11, 12, strings.Repeat("\x01", 12)),
	binaryHeader(0x2f, 0x11, 12, strings.Repeat("\x01", 12)),
	binaryHeader(0x21, 0x11, 3, "abc"),
	"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
	strings.Repeat("\x00", 3000),
}

// headerBomb sends one of them.
func headerBomb(v *visit) (peers.Truth, error) {
	return v.badHeader(bombs[v.random.IntN(len(bombs))], false)
}

// noiseForHeader sends random bytes.
func noiseForHeader(v *visit) (peers.Truth, error) {
	return v.badHeader("\x01"+string(v.noise(1+v.random.IntN(3000))), false)
}

// halfHeader sends part of a header and finishes, or stalls.
func halfHeader(v *visit) (peers.Truth, error) {
	whole, err := peers.Header(v.version(), v.ledger.Claim())
	if err != nil {
		return peers.Truth{}, err
	}
	return v.badHeader(string(whole[:v.random.IntN(len(whole))]), v.random.IntN(4) > 0)
}

// longHeader announces 64 KiB of extensions and sends some of them, slowly.
func longHeader(v *visit) (peers.Truth, error) {
	return v.badHeader(binaryHeader(0x21, 0x11, 65535, strings.Repeat("\x04", v.random.IntN(65535))), v.random.IntN(4) > 0)
}

// badHeader sends an invalid header, and must be refused.
func (v *visit) badHeader(text string, finish bool) (peers.Truth, error) {
	c, err := v.dial()
	if err != nil {
		return peers.Truth{}, err
	}
	defer c.Close()
	size := []int{1 + v.random.IntN(40), 1000, 1 << 20}[v.random.IntN(3)]
	if len(text) > 300 && size < 100 {
		size = 1000
	}
	err = peers.InPieces(c, []byte(text), size)
	if err == nil && finish {
		err = c.(interface{ CloseWrite() error }).CloseWrite()
	}
	if err == nil {
		_, err = io.Copy(io.Discard, c)
	}
	truth := v.truth(peers.UpTo(0), peers.UpTo(0), "proxy_header")
	return truth, v.unlessGone(err)
}

// manyExtensions is a header with as many extensions as fit, not even well-formed ones, and behind it a session that is
// checked: not a byte of it may be taken for the header, or the other way round.
func manyExtensions(v *visit) (peers.Truth, error) {
	w := v.way()
	w.Claims = v.ledger.Claim()
	ip := w.Claims.Addr().As4()
	addresses := string(ip[:]) + "\xc0\x00\x02\x01" + string(binary.BigEndian.AppendUint16(nil, w.Claims.Port())) + "\x01\xbb"
	rest := addresses + string(v.noise(v.random.IntN(65536-len(addresses))))
	w.Header, w.Pieces = []byte(binaryHeader(0x21, 0x11, len(rest), rest)), []int{500, 7001, 1 << 20}[v.random.IntN(3)]
	return v.check(w, peers.Random(v.random, 20_000))
}
